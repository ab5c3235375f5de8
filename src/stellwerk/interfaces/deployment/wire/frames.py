"""Frames of the task-stream: JSON objects with a `type`, or arrays of them, in both directions."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from stellwerk.http.instants import Moment
from stellwerk.interfaces.deployment.wire.agents import Config
from stellwerk.interfaces.deployment.wire.tasks import DeliveredTask, Level, LogLine, TaskError
from stellwerk.interfaces.deployment.wire.text import Attempt, Fence, Id, null


class FromAgent(msgspec.Struct, frozen=True, gc=False, tag_field="type", rename="camel"):
    """Anything that an agent sends."""


class HeldLease(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    task_id: Id
    attempt: Attempt | None = None
    lease: Fence | None = None


class Hello(FromAgent, frozen=True, tag="hello"):
    """First frame: who speaks, and what it works on."""

    instance_id: Id | None = None
    running: Annotated[list[HeldLease], Meta(max_length=10_000)] = []


class OfTask(FromAgent, frozen=True, kw_only=True):
    """Anything about one task; without a lease, about the present one."""

    task_id: Id
    lease: Fence | None = None


class TaskAccepted(OfTask, frozen=True, tag="task_accepted", kw_only=True):
    pass


class TaskProgress(OfTask, frozen=True, tag="task_progress", kw_only=True):
    progress: Annotated[float, Meta(ge=0, le=100)]
    message: Annotated[str, Meta(max_length=1_000)] | None = None


class TaskLog(OfTask, frozen=True, tag="task_log", kw_only=True):
    message: str
    level: Level = "info"
    seq: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    timestamp: Moment | None = None


class TaskCompleted(OfTask, frozen=True, tag="task_completed", kw_only=True):
    success: bool
    result: Raw = msgspec.field(default_factory=null)
    error: TaskError | str | None = None
    cancelled: bool = False
    timed_out: bool = False
    logs: list[LogLine] = []


class TaskReleased(OfTask, frozen=True, tag="task_released", kw_only=True):
    """Given back unstarted."""


Incoming = Hello | TaskAccepted | TaskProgress | TaskLog | TaskCompleted | TaskReleased
Reports = TaskAccepted | TaskProgress | TaskLog | TaskCompleted | TaskReleased


class ToAgent(msgspec.Struct, gc=False, tag_field="type", rename="camel", kw_only=True):
    """Anything that the server sends."""


class TaskAssigned(ToAgent, tag="task_assigned"):
    task: DeliveredTask


class TaskStarted(ToAgent, tag="task_started"):
    """The acceptance is durable: now also a task that is not idempotent may begin."""

    task_id: str
    lease: int


class TaskCancelled(ToAgent, tag="task_cancelled"):
    task_id: str


class TaskRecorded(ToAgent, tag="task_recorded"):
    """The end of the task, as reported, is durable."""

    task_id: str
    lease: int | None


class Configured(ToAgent, tag="config"):
    config: Config


class CredentialsRevoked(ToAgent, tag="credentials_revoked"):
    """The agent was removed; the connection is closed next."""


class Error(ToAgent, tag="error", omit_defaults=True):
    code: str
    message: str
    task_id: str | None = None
    lease: int | None = None


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Incoming | list[Incoming]).decode


def decode(message: str | bytes) -> list[Incoming]:
    """Read a message into its frames. Raises msgspec.MsgspecError, RecursionError."""
    frames = _decode(message)
    return frames if isinstance(frames, list) else [frames]
