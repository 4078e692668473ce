"""The application that ``liteq work`` is measured with; the command line names the file."""

from pathlib import Path

from benchmarks.jobs import declare

app = declare(Path("bench.db"), "full").app
