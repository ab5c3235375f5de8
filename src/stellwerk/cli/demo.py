"""`stellwerk demo`: the whole loop on this machine, once."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    tasks: Annotated[int, typer.Option(help="How many tasks to submit.")] = 3_000,
) -> None:
    """Run a control plane and three workers, kill one in the middle, and show that nothing is lost."""
    raise NotImplementedError(tasks)
