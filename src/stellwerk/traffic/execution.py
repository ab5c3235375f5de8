"""What traffic takes and gives: plain frozen values. Instants are microseconds UTC, JSON is raw text."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

import msgspec

Kind = Literal["reasoner", "skill"]
"""What a function is: a reasoner may answer later by a callback, a skill answers at once."""


class Status(StrEnum):
    """How an execution stands, in the words of its callers."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"


class Target(msgspec.Struct, frozen=True, gc=False):
    """One function of one agent."""

    group: str
    function: str
    kind: Kind = "reasoner"

    @property
    def text(self) -> str:
        """The target as callers write it."""
        return f"{self.group}.{self.function}"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call of a function, as somebody hands it in. None means: not said."""

    target: Target
    input: str = "{}"
    """JSON text: the bare input, as the agent gets it."""
    run_id: str | None = None
    """None: a run begins with this call."""
    parent_id: str | None = None
    """The execution that calls."""
    session_id: str | None = None
    """What sticks to a version where the agent wants that."""
    actor_id: str | None = None
    caller: str | None = None
    """The agent that calls."""
    pin: str | None = None
    """The version that is to be called, in rotation or not."""
    idempotency_key: str | None = None
    """The same key with the same body is the same execution, for a day."""
    timeout_s: float | None = None
    """Longest time until the end, queueing included; None: `traffic.execution_timeout_s`."""
    headers: Mapping[str, str] = {}
    """Further headers that the agent is handed; at most some kilobytes, as they are kept."""
    webhook: "Hook | None" = None
    """Who is told of the end."""
    priority: int = 10


class Hook(msgspec.Struct, frozen=True):
    """A webhook that was checked and sealed; `Webhooks.seal` makes it."""

    id: str
    """What it is sealed for: beside another id it does not open."""
    sealed: bytes


class WebhookState(StrEnum):
    """How the telling of an execution's end stands."""

    WAITING = "waiting"
    """The execution goes on."""
    DUE = "due"
    """It ended; its webhook is being called, or will be again."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """Nobody took it in as many attempts as are made."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How the telling of an execution's end stands, with what came of the last attempt."""

    state: WebhookState
    attempts: int
    error: str | None
    """What was wrong with the last attempt; None while there is nothing to say."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as it is shown. Version and instance are None until one was chosen."""

    id: str
    run_id: str
    target: Target
    status: Status
    reason: str | None
    """Why it stands so: `lost`, `timed_out`, `unreachable` …; None where there is nothing to say."""
    version: str | None
    instance: str | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    result: str | None
    """JSON text; None unless it succeeded."""
    error: str | None
    """Plain text; None unless it failed, timed out or was cancelled."""
    error_details: str | None
    """JSON text that the agent sent with its error."""
    error_status: int | None
    """HTTP status with which the agent answered, or that it named; None where there was none."""
    parent_id: str | None = None
    session_id: str | None = None
    actor_id: str | None = None
    caller: str | None = None
    principal: str = ""
    webhook: Told | None = None
    """None: nobody is told of its end."""

    @property
    def finished(self) -> bool:
        return self.status not in (Status.QUEUED, Status.RUNNING)

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds from the start to the end; None while it lasts."""
        if self.finished_at is None:
            return None
        return max(0, self.finished_at - (self.started_at or self.created_at)) // 1_000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of an execution that it was given."""

    status: Status
    """RUNNING is a sign of life; QUEUED is taken for it."""
    result: str | None = None
    """JSON text of any kind; None counts as `null`."""
    error: str | None = None
    error_details: str | None = None
    """JSON text."""
    error_status: int | None = None


class Reported(msgspec.Struct, frozen=True):
    """The answer to a report: how the execution now stands; `duplicate` where the same had been said."""

    execution: Execution
    duplicate: bool


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What operators said about an agent."""

    sticky: bool = False
    """Whether calls with a session stay with a version while it is healthy."""
    concurrency: int | None = None
    """Executions under way at once, over all versions; None: `traffic.concurrency`."""
    supervisor: Mapping[str, object] | None = None
    """Who starts the agent's processes again; None: nobody that we know of."""
    metadata: Mapping[str, object] = {}


class OptionChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to change; UNSET stays as it is, None goes back to the default."""

    sticky: bool | msgspec.UnsetType | None = msgspec.UNSET
    concurrency: int | msgspec.UnsetType | None = msgspec.UNSET
    supervisor: Mapping[str, object] | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Mapping[str, object] | msgspec.UnsetType | None = msgspec.UNSET


HealthStatus = Literal["active", "inactive", "degraded", "unknown"]
LifecycleStatus = Literal["starting", "ready", "degraded", "offline"]


class VersionFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Ended executions of a version over `window_s`, on this replica, since its start at the longest."""

    window_s: int
    calls: int = 0
    errors: int = 0
    p50_ms: float | None = None
    """None while nothing has ended."""
    p95_ms: float | None = None
    p99_ms: float | None = None


class VersionStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How a version of an agent stands in the traffic."""

    version: str
    weight: int | None
    """None: unset."""
    share_percent: float
    """What of the agent's calls it gets now, 0 … 100; 0 for who is out of rotation."""
    health_status: HealthStatus
    lifecycle_status: LifecycleStatus
    base_urls: tuple[str, ...]
    """Addresses of its instances, the newest first."""
    last_heartbeat: int | None
    """None: it has no instance."""
    instances: tuple[str, ...]
    registered_at: int
    running: int
    """Executions under way, on this replica."""
    figures: VersionFigures
