"""Lists on the terminal: a heading and columns as wide as what is in them."""

from collections.abc import Sequence

import typer


def print_table(heading: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """Print rows under a heading; without rows say `nothing`, on the standard error."""
    if not rows:
        typer.echo(nothing, err=True)
        return
    lines = [[one.upper() for one in heading], *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heading))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
