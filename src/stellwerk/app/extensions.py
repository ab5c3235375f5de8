"""What a program of somebody's own adds to the control plane that it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stellwerk.inquiry.detective import Detective
from stellwerk.interfaces.conductor.own import Route
from stellwerk.release.callbacks import Callbacks


@dataclass(slots=True)
class Extensions:
    """Filters for templates, functions around operations, routes of the conductor interface, and who
    investigates."""

    filters: dict[str, Callable[..., Any]] = field(default_factory=dict)
    callbacks: Callbacks = field(default_factory=Callbacks)
    routes: list[Route] = field(default_factory=list)
    detective: Detective | None = None
    """Who looks and concludes in investigations; None for ours."""
