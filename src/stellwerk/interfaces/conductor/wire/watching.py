"""What is watched, as it is shown: health, objects, drift, and what became of services over time."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from stellwerk.http.instants import Timestamp
from stellwerk.interfaces.conductor.wire.form import Asked, InstanceQuery, Resource, Shown, Text
from stellwerk.interfaces.conductor.wire.operations import Recorded, ShownChange, State

Status = Literal["healthy", "unhealthy", "unknown"]
"""As published; `unknown` also for what is not deployed."""
HealthStatus = Literal["healthy", "progressing", "degraded", "suspended", "missing", "unknown"]


class HealthOfService(Shown, omit_defaults=True, kw_only=True):
    """How a service is; `resource` is the object that is worst off, `reason` a word for programs."""

    name: str
    namespace: str
    port: int
    status: Status
    last_checked: Timestamp
    """Now, unless the cluster is away: then when it was last heard."""
    installed: bool
    health: HealthStatus
    message: str = ""
    reason: str = ""
    resource: Resource | None = None
    drifted: int = 0
    """Objects that are not as they were applied."""


class HealthOfServices(Shown, kw_only=True):
    """How all services of an instance are."""

    services: list[HealthOfService]


class ShownDrift(Shown, omit_defaults=True, kw_only=True):
    """An object that is not as it was applied; values are in the plan of an `update`."""

    resource: Resource
    api_group: str = ""
    service: str
    kind: Literal["changed", "missing", "taken"]
    fields: list[str] = field(default_factory=list)
    owner: str = ""
    """Who set them, as far as the cluster knows; of `taken`, whose it is now."""
    message: str = ""
    seen_at: Timestamp


class ShownDrifts(Shown, kw_only=True):
    """Everything of an instance that is not as it was applied."""

    drift: list[ShownDrift]


class ShownNode(Shown, omit_defaults=True, kw_only=True):
    """An object with its health, and what was made for it."""

    resource: Resource
    api_group: str = ""
    health: HealthStatus
    message: str = ""
    reason: str = ""
    created_at: Timestamp | None = None
    described: bool
    """Whether the application describes it; the rest was made by the cluster."""
    drift: Literal["changed", "missing", "taken"] | None = None
    children: list["ShownNode"] = field(default_factory=list)


class ServiceTree(HealthOfService, kw_only=True):
    """A service with its objects."""

    objects: list[ShownNode]


class ShownPause(Shown, kw_only=True):
    """Who wants the reconciler to leave a service alone."""

    by: str
    at: Timestamp
    why: str


class ShownReconciliation(Shown, kw_only=True):
    """When a service was last made, or found, to be as it should; `look` is a comparison."""

    at: Timestamp
    kind: Recorded | Literal["look"]
    result: State
    operation: str


class ShownError(Shown, omit_defaults=True, kw_only=True):
    """An error that a service had: how often, and when first and last."""

    resource: Resource | None
    reason: str
    message: str
    first_at: Timestamp
    last_at: Timestamp
    times: int
    operation: str = ""
    """The last operation that it ended."""


class ShownParameterChange(Shown, kw_only=True):
    """A version of the parameters after which something else held for the service."""

    version: int
    at: Timestamp
    by: str
    why: str
    changes: list[ShownChange]


class ShownState(Shown, kw_only=True):
    """What is known of a service over time; parameters are there for callers that may read them."""

    service: str
    instance: str
    state: Literal["deployed", "updating", "failed", "removed", "absent"]
    operation: str
    health: HealthStatus
    message: str
    drift: list[ShownDrift]
    paused: ShownPause | None
    last_reconciliation: ShownReconciliation | None
    errors: list[ShownError]
    parameters: list[ShownParameterChange] | UnsetType = UNSET


class PauseRequest(Asked, kw_only=True):
    """Let the reconciler leave a service alone."""

    why: Annotated[Text, Meta(description="Kept with the pause.")] = ""


class Paused(Shown, kw_only=True):
    """Whether a service is paused now."""

    message: str
    paused: ShownPause | None


class DriftQuery(InstanceQuery, kw_only=True):
    """Of one service, or of all."""

    service: Annotated[str, Meta(max_length=253)] | UnsetType = UNSET
