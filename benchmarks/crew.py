"""The application that the command line is measured with; the command line names the file."""

from pathlib import Path

from benchmarks.jobs import declare, declare_echo

app = declare(Path("bench.db"), "full").app
declare_echo(app)
