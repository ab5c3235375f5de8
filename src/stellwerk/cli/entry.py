"""Where the `stellwerk` command begins. `serve` is loaded alone.

The others are three dozen modules with their options, which a server would read and describe at each start
for nothing.
"""

import sys


def run() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["serve"]:
        _serve(sys.argv[2:])
    else:
        from stellwerk.cli.main import run as run_any

        run_any()


def _serve(arguments: list[str]) -> None:
    import typer

    from stellwerk.cli.serve import serve

    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command()(serve)
    alone(arguments, prog_name="stellwerk serve")
