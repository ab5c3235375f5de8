"""What the journal holds, and how readers choose from it."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec


class Retention(StrEnum):
    """How long an event stays: days per class are settings."""

    TASK = "task"
    FLEET = "fleet"
    AUDIT = "audit"


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened, before it is recorded. A struct: every step of every task makes one."""

    kind: str
    """Subject and verb: `task.submitted`, `agent.late`."""
    retention: Retention
    group: str | None = None
    task: str | None = None
    principal: str | None = None
    application: str | None = None
    data: str = "{}"
    """A JSON object as text."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event in its place in the journal."""

    cursor: str
    """Opaque; a reader that hands it back goes on right behind this event."""
    at: int
    """Microseconds UTC."""
    kind: str
    retention: Retention
    group: str | None
    task: str | None
    principal: str | None
    application: str | None
    data: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """The last thing that a too slow reader is told: it may come back with the cursor and miss nothing."""

    cursor: str


@dataclass(frozen=True, slots=True)
class EventFilter:
    """What a reader wants; None and empty mean everything."""

    kinds: tuple[str, ...] = ()
    """Exact kinds (`task.dead`) or families (`task.*`); any of them."""
    group: str | None = None
    task: str | None = None
    principal: str | None = None
    application: str | None = None
    since: int | None = None
    """First instant that counts, microseconds UTC."""
    until: int | None = None
    """First instant that no longer counts."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some events in order, and where the next page begins."""

    events: tuple[Recorded, ...]
    next: str
    """Cursor behind the last row that was looked at; valid also when `events` is empty."""
    more: bool
    """Whether the next page would have something at once (it may still turn out empty)."""
