"""How an object is, and what is known around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from stellwerk.release.objects import Body
from stellwerk.release.reasons import Reason

Status = Literal["healthy", "progressing", "degraded", "suspended", "missing", "unknown"]
"""`unknown`: the cluster cannot be asked."""


@dataclass(frozen=True, slots=True)
class Related:
    """What else is known around an object, at a time."""

    now: datetime
    """UTC."""
    pods: Sequence[Body] = ()
    """Those of its newest revision (`kinship.pods_of`)."""
    events: Sequence[Body] = ()
    """About it, what it made, and these pods."""
    endpoints: Body | None = None
    """The Endpoints of a Service; None if nobody looked."""


@dataclass(frozen=True, slots=True)
class Health:
    """How an object is."""

    status: Status
    message: str = ""
    """What is missing to be healthy."""
    reason: Reason | None = None
    """Why, as far as it is known."""


HEALTHY = Health("healthy")
MISSING = Health("missing", "is not there")

_GRAVITY: Mapping[Status, int] = {
    "healthy": 0,
    "suspended": 1,
    "unknown": 2,
    "progressing": 3,
    "missing": 4,
    "degraded": 5,
}


def worst(healths: Sequence[Health]) -> Health:
    """Return the health of a whole: that of its worst part; healthy if it has none."""
    return max(healths, key=lambda one: _GRAVITY[one.status], default=HEALTHY)


def progressing(message: str) -> Health:
    """Say what an object still waits for."""
    return Health("progressing", message)


def degraded(message: str) -> Health:
    """Say what is wrong with an object."""
    return Health("degraded", message)


def suspended(message: str) -> Health:
    """Say that somebody wants an object to do nothing."""
    return Health("suspended", message)
