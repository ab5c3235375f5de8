"""What an analyzer finds: a fact about one object, and what it means for the search of the cause."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.model import ObjectRef, Source

Role = Literal["cause", "effect", "note"]
"""`cause`: needs no further explanation. `effect`: something else may be behind it; if nothing is, its own
object is to blame. `note`: explains nothing, and is told beside."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that was seen."""

    source: Source
    object: ObjectRef
    excerpt: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Clue:
    """One proven fact about one object."""

    code: str
    object: ObjectRef
    summary: str
    seen: tuple[Seen, ...]
    """Never empty."""
    role: Role = "cause"
    blames: tuple[ObjectRef, ...] = ()
    """What has to change; empty for the workload that the object belongs to, or the object itself."""
    points_to: tuple[ObjectRef, ...] = ()
    """Of an effect: where its cause is to be looked for."""
    facts: dict[str, str] = field(default_factory=dict)
    strength: float = 0.9
    """How likely the blame is right, if nothing contradicts: a status is worth more than a line of a log."""


Analyzer = Callable[[Facts], Iterator[Clue]]
"""Pure: the same clues from the same facts, in the same order."""
