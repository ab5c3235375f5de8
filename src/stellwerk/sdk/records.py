"""The values that clients send and get back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

Priority = Literal["low", "normal", "high", "critical", "urgent"] | str | int
FINISHED = frozenset({"succeeded", "failed", "cancelled", "dead"})
"""States that a task does not leave by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to submit.

    `data` is handed to the worker's function. `requires` narrows down who may do it: `capabilities`,
    `services` (lists), `labels` (a mapping), `agent_type`, `min_health_score`, `agent` (one named agent).

    `repeatable=False` promises that no second attempt is made once a worker has begun: if that worker is
    lost, the task ends `failed` with the reason `lost`. `delay_s` or `not_before` hold it back, `deadline`
    ends it wherever it is, `timeout_s` limits the running time. Without an `idempotency_key` or a `task_id`
    of your own the client makes a key, so that a submission that it has to send twice is one task.
    """

    task_type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = "normal"
    requires: Mapping[str, Any] = field(default_factory=dict)
    repeatable: bool = True
    max_attempts: int | None = None
    delay_s: float | None = None
    not_before: datetime | None = None
    deadline: datetime | None = None
    timeout_s: float | None = None
    task_id: str | None = None
    idempotency_key: str | None = None


class Submitted(msgspec.Struct, frozen=True):
    """A task that the control plane has taken and made durable; `duplicate` when it had it already."""

    task_id: str
    submitted_at: datetime
    state: str = "queued"
    duplicate: bool = False


class Task(msgspec.Struct, frozen=True):
    """A task as the control plane sees it. Rows of a listing have no data, requirements, result and error."""

    task_id: str
    state: str
    task_type: str | None = None
    task_data: Any = None
    requirements: Any = None
    priority: str | int | None = None
    reason: str | None = None
    attempt: int = 0
    max_attempts: int | None = None
    repeatable: bool = True
    submitted_at: datetime | None = None
    not_before: datetime | None = None
    deadline: datetime | None = None
    timeout_s: float | None = None
    leased_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    assigned_agent: str | None = None
    instance_id: str | None = None
    progress: float | None = None
    progress_note: str | None = None
    result: Any = None
    error: Any = None

    @property
    def finished(self) -> bool:
        """Whether the task has come to its end."""
        return self.state in FINISHED


class TaskPage(msgspec.Struct, frozen=True):
    """One page of a listing; `next_cursor` is None on the last."""

    tasks: tuple[Task, ...]
    next_cursor: str | None = None


class QueueStatus(msgspec.Struct, frozen=True):
    """Figures of the whole queue; `avg_distribution_time` is in seconds, `queue_sizes` by priority."""

    tasks_distributed: int
    tasks_completed: int
    tasks_failed: int
    avg_distribution_time: float
    queue_sizes: dict[str, int]


class LogLine(msgspec.Struct, frozen=True):
    """A line that a worker's function logged. Numbers start at 1 in every attempt."""

    seq: int
    line: str
    level: str | None = None
    at: datetime | None = None
    attempt: int | None = None


class Event(msgspec.Struct, frozen=True):
    """One entry of the journal. `cursor` resumes a stream after it."""

    kind: str
    cursor: str = ""
    at: datetime | None = None
    group: str | None = None
    task: str | None = None
    principal: str | None = None
    application: str | None = None
    data: Any = None


class EventPage(msgspec.Struct, frozen=True):
    """A slice of the journal, oldest first; `next` is the cursor behind it.

    A page may be empty although `more` follows: a selective search goes on in steps.
    """

    events: tuple[Event, ...]
    next: str | None = None
    more: bool = False


class Agent(msgspec.Struct, frozen=True):
    """An agent of the fleet as discovery shows it."""

    agent_id: str
    agent_type: str
    status: str
    capabilities: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    endpoints: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    load_metrics: dict[str, float] = {}
    health_score: float = 1.0
    version: str = "1.0.0"
    tags: tuple[str, ...] = ()
    last_heartbeat: datetime | None = None
    registration_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentQuery:
    """Which agents to list; None and empty mean any. Capabilities, services and tags must all be there."""

    status: str | None = None
    agent_type: str | None = None
    capabilities: Sequence[str] = ()
    services: Sequence[str] = ()
    tags: Sequence[str] = ()
    min_health_score: float | None = None
    limit: int | None = None
