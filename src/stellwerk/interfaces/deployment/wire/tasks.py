"""Bodies about tasks, for agents and for those who give them."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stellwerk.http.instants import Moment
from stellwerk.http.texts import PLAIN
from stellwerk.interfaces.deployment.wire.text import (
    ANY_OBJECT,
    ANYTHING,
    Attempt,
    Fence,
    Id,
    Labels,
    Timestamp,
    Wire,
    Word,
    no_object,
    null,
)
from stellwerk.trust.vault.references import PATTERN as REFERENCE_PATTERN

LOG_LINES = 1_000
Level = Annotated[str, Meta(max_length=16)]
TaskStatus = Literal[
    "pending",
    "assigned",
    "running",
    "cancelling",
    "succeeded",
    "failed",
    "timed_out",
    "cancelled",
    "lost",
    "expired",
]


class DeliveredTask(Wire):
    """A task for its holder. `lease` comes back with every report; a task that is not idempotent is started
    only when its acceptance was answered.
    """

    task_id: str
    task_type: str
    payload: Annotated[msgspec.Raw, Meta(extra_json_schema=ANY_OBJECT)]
    credentials: dict[str, str]
    timeout: Annotated[float, Meta(description="Seconds from its start.")]
    attempt: int
    lease: int
    priority: int
    created_at: Timestamp
    idempotent: bool


class PendingTask(Wire):
    """A task that the agent may claim."""

    task_id: str
    task_type: str
    priority: int
    created_at: Timestamp


class PendingTasks(Wire):
    tasks: list[PendingTask]


class PendingQuery(Wire):
    wait: Annotated[float, Meta(ge=0, le=60)] = 0.0


class LeaseReport(Wire):
    """Which delivery is meant; without it, the present one."""

    lease: Fence | None = None
    attempt: Attempt | None = None


class ReleaseTask(LeaseReport):
    """A task that is given back; one that may run only once, only if it has not begun."""

    begun: Annotated[
        bool | None,
        Meta(description="false: it was acknowledged, but nothing of it was done, so it can be given back."),
    ] = None


class LogLine(Wire):
    """One line. The same number again is the same line; without numbers, lines count from 0."""

    message: str
    level: Level = "info"
    timestamp: Moment | None = None
    seq: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class TaskError(Wire, forbid_unknown_fields=False):
    """Why a task failed."""

    type: Annotated[str, Meta(max_length=200)] = "failed"
    message: Annotated[str, Meta(max_length=65_536)] = ""
    retriable: bool = False


class CompleteTask(LeaseReport, kw_only=True):
    """How a task ended."""

    success: bool
    result: Annotated[msgspec.Raw, Meta(extra_json_schema=ANYTHING)] = msgspec.field(default_factory=null)
    error: TaskError | str | None = None
    cancelled: bool = False
    timed_out: bool = False
    logs: list[LogLine] = msgspec.field(default_factory=list)


class Acknowledged(Wire, omit_defaults=True):
    acknowledged: bool
    duplicate: Annotated[bool, Meta(description="The same had been said before.")] = False
    late: Annotated[
        bool, Meta(description="Kept as the task's `lateResult`: the task had been given up and stays so.")
    ] = False


class Selector(Wire):
    """Any one agent with these labels."""

    labels: Annotated[Labels, Meta(min_length=1)]


Reference = Annotated[
    str, Meta(extra_json_schema={"x-replace": {"type": "string", "pattern": REFERENCE_PATTERN}})
]
PRIORITY = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 49},
        {"type": "string", "enum": ["low", "normal", "high", "critical", "urgent"]},
    ],
    "default": 10,
}
ONE_OF = [{"required": [name]} for name in ("agent", "selector", "capability")]


class SubmitTask(Wire):
    """A task for one agent (by name or id), or for any with these labels or this capability."""

    task_type: Annotated[str, Meta(min_length=1, max_length=200, pattern=PLAIN)]
    agent: Id | msgspec.UnsetType = msgspec.UNSET
    selector: Selector | msgspec.UnsetType = msgspec.UNSET
    capability: Word | msgspec.UnsetType = msgspec.UNSET
    payload: Annotated[msgspec.Raw, Meta(extra_json_schema=ANY_OBJECT)] = msgspec.field(
        default_factory=no_object
    )
    credentials: Annotated[
        dict[Word, Reference],
        Meta(
            max_length=32,
            description="References `secret:NAME` by credential name; delivered to certified holders only.",
            examples=[{"registry.password": "secret:registry-password"}],
        ),
    ] = msgspec.field(default_factory=dict)
    timeout: Annotated[float, Meta(gt=0, le=604_800, description="Seconds from its start.")] | None = None
    priority: Annotated[
        int | str, Meta(description="0 to 49, or a name.", extra_json_schema={"x-replace": PRIORITY})
    ] = 10
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=253, pattern=PLAIN)] | None = None
    idempotent: Annotated[
        bool | None, Meta(description="Whether it may run again unasked; by default as its type is.")
    ] = None
    expires_in: (
        Annotated[float, Meta(gt=0, le=31_536_000, description="Seconds within which it must have ended.")]
        | None
    ) = None


DescribedSubmission = Annotated[SubmitTask, Meta(extra_json_schema={"anyOf": ONE_OF})]


class SubmitQuery(Wire):
    mode: Literal["async", "sync"] = "async"
    wait: Annotated[float, Meta(ge=0, le=600, description="Seconds that `sync` waits.")] = 60.0


class TaskSubmitted(Wire, omit_defaults=True):
    task_id: str
    status: TaskStatus
    duplicate: bool = False
    result: Annotated[msgspec.Raw | None, Meta(extra_json_schema=ANYTHING)] = None
    error: Annotated[msgspec.Raw | None, Meta(extra_json_schema=ANYTHING)] = None


class TaskRow(Wire):
    """A task as in lists."""

    task_id: str
    task_type: str
    status: TaskStatus
    reason: str | None
    agent: str | None
    priority: int
    attempt: int
    idempotent: bool
    progress: float | None
    message: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    expires_at: Timestamp | None
    timeout: float | None


class LateResult(Wire):
    """What the agent said when the task had been given up (`lost`, `timed_out`)."""

    attempt: int
    received_at: Timestamp
    outcome: Annotated[msgspec.Raw, Meta(extra_json_schema=ANY_OBJECT)]


class Task(TaskRow):
    """Everything about a task but the values of its credentials."""

    payload: Annotated[msgspec.Raw, Meta(extra_json_schema=ANY_OBJECT)]
    credentials: dict[str, str]
    result: Annotated[msgspec.Raw, Meta(extra_json_schema=ANYTHING)]
    error: Annotated[msgspec.Raw, Meta(extra_json_schema=ANYTHING)]
    late_result: LateResult | None


class TaskQuery(Wire):
    status: TaskStatus | None = None
    agent: Id | None = None
    task_type: Word | None = None
    cursor: Annotated[str, Meta(max_length=1_000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class ShownLine(Wire):
    seq: int
    timestamp: Timestamp
    level: str
    message: str


class TaskLogs(Wire):
    task_id: str
    attempt: int
    lines: list[ShownLine]
    next: Annotated[int, Meta(description="`from` of the next page.")]
    more: bool


class LogQuery(Wire):
    from_: Annotated[int, Meta(ge=0, le=2**53)] = msgspec.field(default=0, name="from")
    attempt: Attempt | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 1_000


class TaskCancelled(Wire):
    task_id: str
    status: TaskStatus
