"""The gate: the ASGI application of one listener, whose checks every request passes first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stellwerk.http.problem import RenderProblem

AsgiApplication = Callable[..., Any]


def everything(path: str) -> int:
    """Own every path: for a listener with one interface."""
    return 1


@dataclass(frozen=True, slots=True)
class Interface:
    """One published interface as the gate sees it."""

    name: str
    application: AsgiApplication
    render_problem: RenderProblem
    owns: Callable[[str], int] = everything
    """Length of the prefix by which the interface owns a path, 0 for not its own (a bool will do). The longest wins."""
    rewrite: Callable[[str], str | None] | None = None
    """Give the plain path for an alias (`/v1/agents/x` → `/agents/x`), or None to keep it. Called for owned paths."""
