"""What is told of watched services, and what is kept about them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stellwerk.release.health import Health
from stellwerk.release.objects import Key
from stellwerk.release.operations.record import OperationKind, OperationState
from stellwerk.release.ownership import Identity
from stellwerk.release.watching.drift import Drift


@dataclass(frozen=True, slots=True)
class Told:
    """The trouble of an object as it was told last."""

    service: str
    code: str
    message: str
    since: int
    """Microseconds UTC, as all instants."""


@dataclass(frozen=True, slots=True)
class HealthChange:
    """A service that has a trouble, has another one, or is well again."""

    identity: Identity
    service: str
    well: bool
    key: Key
    """The object that moved it."""
    code: str
    """A word for programs; of the trouble that is over where the service is well again."""
    message: str
    at: int


@dataclass(frozen=True, slots=True)
class Error:
    """One kind of error that a service had, with how often it happened."""

    key: Key | None
    code: str
    message: str
    first_at: int
    last_at: int
    times: int
    operation: str = ""
    """The last operation that it ended; empty if it ended none."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A drift, and when it was seen first."""

    drift: Drift
    at: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Who wants the reconciler to leave a service alone."""

    by: str
    at: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Repairs:
    """What the reconciler did about a service."""

    paused: Pause | None = None
    in_row: int = 0
    repaired_at: int | None = None
    looked_at: int | None = None
    """When it compared everything last."""


class DeploymentState(StrEnum):
    """Where a service is; the first three are the published ones."""

    DEPLOYED = "deployed"
    UPDATING = "updating"
    FAILED = "failed"
    REMOVED = "removed"
    ABSENT = "absent"
    """It was never deployed."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The last time that a service was made, or found, to be as it should."""

    at: int
    result: OperationState
    kind: OperationKind | None = None
    """None where the reconciler only compared."""
    operation: str = ""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What is known of a service over time."""

    service: str
    state: DeploymentState
    operation: str
    """The one under way, else the last one; empty if there never was any."""
    health: Health
    drift: tuple[Seen, ...]
    paused: Pause | None
    last_reconciliation: Reconciliation | None
    errors: tuple[Error, ...]
    """Newest first."""


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """How a service is."""

    service: str
    installed: bool
    namespace: str
    """Of its first object that has one; empty if nothing is there."""
    port: int
    """The first of its first Service; 0 if it has none."""
    health: Health
    worst: Key | None
    """The object that is worst off; None if all are well."""
    checked_at: int
    drifted: int = 0
    """Objects that are not as they were applied."""


@dataclass(frozen=True, slots=True)
class Node:
    """An object of a service, and what was made for it."""

    key: Key
    health: Health
    created_at: datetime | None
    owned: bool
    """Whether the application describes it; the rest was made by the cluster."""
    drift: Drift | None = None
    children: tuple["Node", ...] = ()
