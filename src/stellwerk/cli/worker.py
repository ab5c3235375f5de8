"""`stellwerk worker`: run a module's functions for a control plane."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    app: Annotated[
        str, typer.Argument(metavar="MODULE:APP", help="Where the Worker is, as module:attribute.")
    ],
) -> None:
    """Run the functions of a Worker for a control plane until SIGTERM or SIGINT."""
    raise NotImplementedError(app)
