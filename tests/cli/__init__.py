"""The command line: real processes for what matters, the parser of words and times by itself."""
