"""What is known of an instance's parameters, and how a change of them is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stellwerk.release.application.schema import Violation

DEFAULT_INSTANCE = "default"


class Action(StrEnum):
    """How a version came about."""

    REPLACED = "replaced"
    MERGED = "merged"
    COPIED = "copied"
    RESTORED = "restored"
    REMOVED = "removed"
    FOUND = "found"
    """Changed in the cluster by somebody else, and seen afterwards."""


@dataclass(frozen=True, slots=True)
class Document:
    """The parameters of an instance as they are stored; where nothing is, what holds instead."""

    instance: str
    spec: Mapping[str, Any]
    version: int
    """0 where nothing is stored."""
    etag: str
    """Opaque; another one for every change."""
    changed_at: int | None = None
    """Microseconds UTC; None where nothing is stored."""
    changed_by: str | None = None

    @property
    def stored(self) -> bool:
        """Tell whether somebody set them."""
        return self.version > 0


@dataclass(frozen=True, slots=True)
class Version:
    """One entry of the history."""

    version: int
    spec: Mapping[str, Any] | None
    """None where the instance was removed."""
    action: Action
    at: int
    """Microseconds UTC."""
    by: str
    why: str
    restored: int | None = None
    """The version that was restored."""


@dataclass(frozen=True, slots=True)
class Note:
    """Who changes parameters, how, and why."""

    action: Action
    by: str
    why: str = ""
    restored: int | None = None


class InvalidParameters(Exception):
    """A document is refused, and nothing was changed."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{one.path}: {one.message}" for one in violations))
        self.violations = tuple(violations)


class StaleParameters(Exception):
    """Somebody else changed the parameters in between; nothing was changed."""

    def __init__(self, instance: str, etag: str) -> None:
        super().__init__(f"The parameters of {instance} were changed meanwhile; read them again")
        self.etag = etag
        """The one that holds now."""


class InvalidInstance(ValueError):
    """The name cannot be one of an instance."""


class UnknownInstance(LookupError):
    """Nothing is stored under the name."""


class UnknownVersion(LookupError):
    """The history has no such version, or it was a removal."""


class InstanceExists(Exception):
    """The name is taken."""
