"""Bodies about tasks, for those who give them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stellwerk.http.instants import Moment, Timestamp
from stellwerk.http.texts import PLAIN, whole
from stellwerk.interfaces.coordinator.wire.text import ID_PATTERN, Id, Labels, Score, Words, no_json
from stellwerk.interfaces.coordinator.words import STRATEGIES
from stellwerk.trust.vault.references import PATTERN as REFERENCE_PATTERN

Success = Literal["success"]
State = Literal["queued", "leased", "running", "cancelling", "succeeded", "failed", "cancelled", "dead"]

NAMED_PRIORITY = whole(
    r"([Uu][Rr][Gg][Ee][Nn][Tt]|[Cc][Rr][Ii][Tt][Ii][Cc][Aa][Ll]|[Hh][Ii][Gg][Hh]"
    r"|[Nn][Oo][Rr][Mm][Aa][Ll]|[Ll][Oo][Ww])"
)
OPAQUE = {"type": "string", "maxLength": 1000}
Key = Annotated[str, Meta(min_length=1, max_length=253, pattern=PLAIN)]
Seconds = Annotated[float, Meta(ge=0.0, le=315_360_000.0)]
"""Up to ten years."""


Reference = Annotated[
    str, Meta(extra_json_schema={"x-replace": {"type": "string", "pattern": REFERENCE_PATTERN}})
]
Credentials = Annotated[dict[str, Reference], Meta(max_length=32)]


class Requirements(msgspec.Struct, kw_only=True):
    """Who may do a task; every given part must hold. Further fields are handed on and exclude nobody."""

    agent_type: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None
    capabilities: Words | None = None
    services: Words | None = None
    labels: Labels | None = None
    min_health_score: Score | None = None
    agent: Annotated[Id | None, Meta(description="The one agent that may do it.")] = None
    credentials: Annotated[
        Credentials | None,
        Meta(description="References `secret:NAME` by name, for agents that show a certificate only."),
    ] = None


class TaskData(msgspec.Struct, kw_only=True):
    """The fields of `task_data` that mean something here; all others are the agent's."""

    task_type: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None
    task_id: Id | None = None
    required_capabilities: Any = None
    """Capabilities that the capability-based strategy prefers, if it is a list of texts."""


class SubmitTask(msgspec.Struct, kw_only=True):
    """A task. No agent that matches means that it waits."""

    task_data: Annotated[
        msgspec.Raw,
        Meta(
            description="Handed to the agent as it is. `task_type` names the function.",
            examples=[{"task_type": "summary", "model": "llama2", "prompt": "test prompt"}],
            extra_json_schema={
                "type": "object",
                "properties": {
                    "task_type": {"type": ["string", "null"], "maxLength": 200, "pattern": PLAIN},
                    "task_id": {
                        "type": ["string", "null"],
                        "minLength": 1,
                        "maxLength": 253,
                        "pattern": ID_PATTERN,
                    },
                },
            },
        ),
    ]
    priority: Annotated[
        str | int | None,
        Meta(
            description="A name in any letter case, or 0 to 49 (normal is 10, high 20). Echoed as sent.",
            extra_json_schema={
                "x-replace": {
                    "anyOf": [
                        {"type": "string", "pattern": NAMED_PRIORITY},
                        {"type": "integer", "minimum": 0, "maximum": 49},
                        {"type": "null"},
                    ],
                    "default": "normal",
                }
            },
        ),
    ] = None
    requirements: Annotated[
        msgspec.Raw,
        Meta(
            description="Who may do it.",
            extra_json_schema={
                "x-replace": {"anyOf": [{"$ref": "#/components/schemas/Requirements"}, {"type": "null"}]}
            },
        ),
    ] = msgspec.field(default_factory=no_json)
    task_id: Id | None = None
    idempotency_key: Key | None = None
    repeatable: bool = True
    max_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    not_before: Moment | None = None
    delay_s: Seconds | None = None
    deadline: Moment | None = None
    timeout_s: Annotated[float, Meta(ge=0.001, le=315_360_000.0)] | None = None


class TaskSubmitted(msgspec.Struct, kw_only=True):
    status: Success = "success"
    message: str = "Task submitted successfully"
    task_id: str
    priority: Annotated[str | int, Meta(description="As sent.")]
    submitted_at: Timestamp
    state: State
    duplicate: Annotated[bool, Meta(description="The same task had been submitted before.")]


class QueueSizes(msgspec.Struct, kw_only=True):
    """Waiting tasks by priority."""

    urgent: int
    critical: int
    high: int
    normal: int
    low: int


class BalancerFigures(msgspec.Struct, kw_only=True):
    """Figures of the balancing since the database was made."""

    strategy: str
    total_assignments: int
    successful_assignments: int
    failed_assignments: int
    success_rate: float
    active_agents: int
    agent_weights: int
    avg_agent_load: float


class DistributionFigures(msgspec.Struct, kw_only=True):
    """Figures of the distribution since the database was made; `avg_distribution_time` in seconds."""

    tasks_distributed: int
    tasks_completed: int
    tasks_failed: int
    avg_distribution_time: float
    load_balancer_stats: BalancerFigures
    queue_sizes: QueueSizes


class TaskStatus(msgspec.Struct, kw_only=True):
    status: Success = "success"
    stats: DistributionFigures
    timestamp: Timestamp


class Queues(msgspec.Struct, kw_only=True):
    status: Success = "success"
    queue_sizes: QueueSizes
    timestamp: Timestamp


class QueueStats(msgspec.Struct, kw_only=True):
    status: Success = "success"
    queue_sizes: QueueSizes
    distribution_stats: DistributionFigures
    timestamp: Timestamp


class QueueCleared(msgspec.Struct, kw_only=True):
    status: Success = "success"
    message: str
    priority: str
    cleared_count: int
    timestamp: Timestamp


class BalancerStats(msgspec.Struct, kw_only=True):
    status: Success = "success"
    stats: BalancerFigures
    timestamp: Timestamp


class StrategyQuery(msgspec.Struct, kw_only=True):
    """The strategy to switch to, in any letter case."""

    strategy: Annotated[
        str, Meta(extra_json_schema={"x-replace": {"type": "string", "enum": list(STRATEGIES)}})
    ]


class StrategySet(msgspec.Struct, kw_only=True):
    status: Success = "success"
    message: str
    strategy: str
    updated_at: Timestamp


class TaskRow(msgspec.Struct, kw_only=True):
    """A task in a listing."""

    task_id: str
    task_type: str | None
    priority: str
    state: State
    reason: str | None
    attempt: int
    max_attempts: int
    repeatable: bool
    submitted_at: Timestamp
    not_before: Timestamp | None
    deadline: Timestamp | None
    timeout_s: float | None
    leased_at: Timestamp | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    assigned_agent: str | None
    instance_id: str | None
    progress: float | None
    progress_note: str | None


class Task(TaskRow, kw_only=True):
    """A task with everything."""

    task_data: msgspec.Raw
    requirements: msgspec.Raw
    result: msgspec.Raw
    error: msgspec.Raw


class TaskAnswer(msgspec.Struct, kw_only=True):
    status: Success = "success"
    task: Task
    timestamp: Timestamp


class ListQuery(msgspec.Struct, kw_only=True):
    """Which tasks; newest first."""

    state: State | None = None
    task_type: Annotated[str, Meta(max_length=200, pattern=PLAIN)] | None = None
    agent_id: Id | None = None
    priority: Annotated[
        str | None, Meta(extra_json_schema={"x-replace": {"type": "string", "pattern": NAMED_PRIORITY}})
    ] = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[
        str | None,
        Meta(description="`next_cursor` of the page before.", extra_json_schema={"x-replace": OPAQUE}),
    ] = None


class TaskList(msgspec.Struct, kw_only=True):
    status: Success = "success"
    tasks: list[TaskRow]
    count: int
    next_cursor: str | None
    timestamp: Timestamp


class ResultQuery(msgspec.Struct, kw_only=True):
    """How long to wait for the end of the task."""

    wait_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0


class TaskResult(msgspec.Struct, kw_only=True):
    status: Success = "success"
    task_id: str
    state: State
    reason: str | None
    result: msgspec.Raw
    error: msgspec.Raw
    finished: bool
    timestamp: Timestamp


class LogQuery(msgspec.Struct, kw_only=True):
    """Which lines: those behind a sequence number, of an attempt (the last one if not given)."""

    after: Annotated[int, Meta(ge=-1, le=2**53)] = -1
    attempt: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000


class LogEntry(msgspec.Struct, kw_only=True):
    seq: int
    level: str
    line: str
    at: Timestamp | None
    attempt: int


class TaskLogs(msgspec.Struct, kw_only=True):
    status: Success = "success"
    task_id: str
    attempt: int
    lines: list[LogEntry]
    more: bool
    timestamp: Timestamp


class TaskChanged(msgspec.Struct, kw_only=True):
    status: Success = "success"
    task_id: str
    state: State
    duplicate: Annotated[bool, Meta(description="The same had been said before; nothing was changed.")]
    reason: str | None
    timestamp: Timestamp
