"""`python -m stellwerk` is the command of that name."""

from stellwerk.cli.main import run

run()
