"""What is recorded of an operation, and of the releases that operations leave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec

from stellwerk.release.objects import Key, Manifest
from stellwerk.release.ownership import Identity

DEADLINE_S = 600
"""Until an operation gives up waiting for health: images are pulled and volumes made in minutes."""


class OperationKind(StrEnum):
    """What an operation does."""

    UP = "up"
    UPDATE = "update"
    DOWN = "down"
    ROLLBACK = "rollback"
    REPAIR = "repair"
    """Applies the present release again; leaves none itself, or a rollback would lead to the same."""


class OperationState(StrEnum):
    """Where an operation is. The last four are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    """Everything of a wave is applied, and not all of it is healthy yet."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """It was cut off and cannot go on; what it had done until then stands."""


ENDS = frozenset(
    {
        OperationState.SUCCEEDED,
        OperationState.FAILED,
        OperationState.CANCELLED,
        OperationState.INTERRUPTED,
    }
)


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a request may choose."""

    force: bool = False
    """Take over what others own."""
    prune: bool = True
    """Remove what the services named no longer describe."""
    volumes: bool = False
    namespaces: bool = False
    definitions: bool = False
    deadline_s: float = DEADLINE_S
    auto_rollback: bool = False
    """Go back to the last release that succeeded if this one fails for a certain reason."""


class ObjectStatus(StrEnum):
    """How far an object of an operation is."""

    PENDING = "pending"
    APPLIED = "applied"
    HEALTHY = "healthy"
    DELETED = "deleted"
    KEPT = "kept"
    FAILED = "failed"


class ObjectResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation did to one object."""

    key: Key
    service: str
    action: str
    """Of the plan."""
    status: ObjectStatus
    message: str = ""
    reason: str = ""
    """A word for programs: `ImagePullBackOff`."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why an operation failed."""

    code: str
    """`reconciliation_error`, or `kubernetes_error` where the cluster was away."""
    error: str
    """The reason on the wire: `ImagePullBackOff`."""
    message: str = ""
    resource: Key | None = None
    certain: bool = True
    """Whether waiting would not have helped."""
    retry_after_s: float | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as it is at one time."""

    id: str
    kind: OperationKind
    application: str
    instance: str
    services: tuple[str, ...]
    """Those that the request names, spelled out."""
    options: Options
    by: str
    requested_at: int
    """Microseconds UTC, as all instants."""
    note: str = ""
    state: OperationState = OperationState.QUEUED
    started_at: int | None = None
    finished_at: int | None = None
    attempt: int = 0
    """How often it was begun: more than once if a process died."""
    objects: tuple[ObjectResult, ...] = ()
    failure: Failure | None = None
    release: int | None = None
    """The revision that it left."""
    revision: int | None = None
    """The revision that a rollback goes back to."""
    rolled_back_by: str | None = None
    """The operation that undid it."""
    namespace: str = "default"
    """Where the inventory is kept."""
    depends_on: dict[str, tuple[str, ...]] = {}
    elsewhere: tuple[Key, ...] = ()
    """What services that are not named describe."""
    contents: dict[str, str] = {}
    """The hash of what each service was rendered to."""

    @property
    def identity(self) -> Identity:
        """Return the application instance that it is about."""
        return Identity(self.application, self.instance)

    @property
    def ended(self) -> bool:
        """Tell whether nothing more happens to it."""
        return self.state in ENDS


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for, with names of services spelled out and known."""

    kind: OperationKind
    identity: Identity
    services: tuple[str, ...]
    by: str
    options: Options = field(default_factory=Options)
    revision: int | None = None
    """For a rollback; None for the last release that succeeded before the present one."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is wanted, rendered and checked."""

    manifests: tuple[Manifest, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The stored document that it was rendered with; kept in the release."""
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elsewhere: frozenset[Key] = frozenset()
    """What services that are not named describe now."""
    namespace: str = "default"
    """Where the application's inventory is kept if there is none yet."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded revision of an application instance."""

    revision: int
    operation: str
    kind: OperationKind
    result: OperationState
    at: int
    by: str
    note: str
    contents: dict[str, str]
    """The hash of every service, also of those that the operation did not name."""


class Busy(Exception):
    """Another operation on the application instance is open, and the caller does not want to wait."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"operation {operation} is not finished yet")
        self.operation = operation


class UnknownOperation(LookupError):
    """No operation has this id."""


class UnknownRevision(LookupError):
    """No such release is kept, or there is none to go back to."""


class Unreadable(Exception):
    """What was stored sealed does not open: another key, or damage."""
