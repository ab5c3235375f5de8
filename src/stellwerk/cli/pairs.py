"""Options of the form NAME=VALUE."""

from collections.abc import Iterable

import typer


def pairs(given: Iterable[str] | None) -> dict[str, str]:
    """Read `NAME=VALUE` options; end the program with a message for what is none."""
    found = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            typer.echo(f"{text!r} is not of the form NAME=VALUE", err=True)
            raise typer.Exit(2)
        found[name] = value
    return found
