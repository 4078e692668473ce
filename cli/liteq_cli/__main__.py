"""``python -m liteq_cli`` is ``liteq``."""

from liteq_cli.main import run

run()
