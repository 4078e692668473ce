"""The command line of liteq. It uses what applications use, and is the only place that knows typer and rich."""
