"""What is asked for, and operations and plans as they are shown."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from stellwerk.http.instants import Timestamp
from stellwerk.interfaces.conductor.wire.form import (
    Asked,
    Instance,
    InstanceQuery,
    Name,
    Resource,
    Shown,
    Text,
)

Kind = Literal["up", "update", "down", "rollback"]
Recorded = Literal["up", "update", "down", "rollback", "repair"]
"""Repairs are the reconciler's; nobody can ask for one."""


State = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "interrupted"]


class Choices(Asked, kw_only=True):
    """What a request may choose, in the body or the query; the same thing twice must be the same."""

    instance: Annotated[Instance, Meta(description="Instance of the application; `default`.")] | UnsetType = (
        UNSET
    )
    dry_run: Annotated[bool, Meta(description="Answer with the plan, and change nothing.")] | UnsetType = (
        UNSET
    )
    wait: Annotated[bool, Meta(description="`false` answers 202 at once.")] | UnsetType = UNSET
    timeout_seconds: (
        Annotated[float, Meta(ge=0, le=3_600, description="How long the answer waits for the end.")]
        | UnsetType
    ) = UNSET
    deadline_seconds: (
        Annotated[
            float, Meta(ge=1, le=86_400, description="Until the operation gives up waiting for health.")
        ]
        | UnsetType
    ) = UNSET
    on_busy: (
        Annotated[
            Literal["wait", "refuse"],
            Meta(description="While another operation of the instance is open: wait for it, or answer 409."),
        ]
        | UnsetType
    ) = UNSET
    force: Annotated[bool, Meta(description="Take over what others own.")] | UnsetType = UNSET
    prune: (
        Annotated[bool, Meta(description="Remove what the services named no longer describe.")] | UnsetType
    ) = UNSET
    volumes: Annotated[bool, Meta(description="Also remove volumes.")] | UnsetType = UNSET
    namespaces: Annotated[bool, Meta(description="Also remove namespaces.")] | UnsetType = UNSET
    definitions: (
        Annotated[bool, Meta(description="Also remove definitions of kinds, with all objects of them.")]
        | UnsetType
    ) = UNSET
    auto_rollback: (
        Annotated[
            bool, Meta(description="Go back to the last good release if this fails for a certain reason.")
        ]
        | UnsetType
    ) = UNSET
    note: Annotated[Text, Meta(description="Why; kept with the release.")] | UnsetType = UNSET


Services = Annotated[list[Name], Meta(max_length=1_000, description="Exact names of services and groups.")]


class UpRequest(Choices, kw_only=True):
    """Deploy or update; without services, all of them."""

    services: Services = field(default_factory=list)


class DownRequest(Choices, kw_only=True):
    """Remove. All services go only where that is said: by an empty list, or by `all`."""

    services: Services | UnsetType = UNSET
    all: bool = False


class RollbackRequest(Choices, kw_only=True):
    """Go back to a release; without services, with all of them."""

    services: Services = field(default_factory=list)
    revision: (
        Annotated[
            int, Meta(ge=1, description="Without it, the last one that succeeded before the present one.")
        ]
        | UnsetType
    ) = UNSET


class PlanRequest(Choices, kw_only=True):
    """Show what an operation would do."""

    action: Kind = "up"
    services: Services = field(default_factory=list)
    revision: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class ShownObject(Shown, omit_defaults=True, kw_only=True):
    """What an operation did to one object."""

    resource: Resource
    api_group: str = ""
    service: str
    action: str
    status: Literal["pending", "applied", "healthy", "deleted", "kept", "failed"]
    message: str = ""
    reason: str = ""


class ShownFailure(Shown, omit_defaults=True, kw_only=True):
    """Why an operation failed; `certain`: waiting would not have helped."""

    code: str
    error: str
    message: str = ""
    resource: Resource | None = None
    certain: bool


class Progress(Shown, kw_only=True):
    """How many objects; `done` are healthy, deleted or kept."""

    total: int
    done: int
    failed: int


class ShownOperation(Shown, kw_only=True):
    """An operation as it is."""

    id: str
    kind: Recorded
    application: str
    instance: str
    services: list[str]
    state: State
    by: str
    note: str
    requested_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    attempt: int
    progress: Progress
    objects: list[ShownObject]
    failure: ShownFailure | None
    release: int | None
    """The revision that it left."""
    revision: int | None
    """The revision that a rollback goes back to."""
    rolled_back_by: str | None


class ShownChange(Shown, kw_only=True):
    """One field; `null` where it is not there. Values of Secrets are hidden."""

    path: str
    old: Any
    new: Any


class ShownStep(Shown, omit_defaults=True, kw_only=True):
    """What would be done to one object."""

    resource: Resource
    api_group: str = ""
    service: str
    action: Literal["create", "update", "unchanged", "delete", "keep", "conflict", "refused", "unverified"]
    wave: int
    """Steps of one wave go together; the next begins when it is healthy."""
    changes: list[ShownChange] = field(default_factory=list)
    message: str = ""
    owner: str | None = None
    """Whose it is, where that is not us."""


class ShownPlan(Shown, kw_only=True):
    """What an operation would do, in order."""

    action: Recorded
    instance: str
    blocked: bool
    """Whether anything stands in the way: the operation would be refused."""
    summary: dict[str, int]
    """How many objects by action."""
    steps: list[ShownStep]


class Deployed(Shown, omit_defaults=True, kw_only=True):
    """How it ended, or that it goes on; with `dryRun` the plan in place of an operation."""

    message: str
    operation: ShownOperation | None = None
    plan: ShownPlan | None = None


class OperationsQuery(InstanceQuery, kw_only=True):
    """Which operations."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class ShownOperations(Shown, kw_only=True):
    """Operations of an instance, newest first."""

    operations: list[ShownOperation]
