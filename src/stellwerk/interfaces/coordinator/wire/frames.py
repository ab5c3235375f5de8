"""Frames of the agent's WebSocket: JSON objects with a `type`, or arrays of them, in both directions."""

from typing import Annotated

import msgspec
from msgspec import Meta

from stellwerk.interfaces.coordinator.wire.text import Fence, LoadMetrics
from stellwerk.interfaces.coordinator.wire.work import Assignment, Fraction, LogLine

TaskId = Annotated[str, Meta(min_length=1, max_length=253)]


class FromAgent(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """Anything that an agent sends."""


class HeldLease(msgspec.Struct, frozen=True, gc=False):
    task_id: TaskId
    lease: Fence


class Hello(FromAgent, frozen=True, tag="hello"):
    """First frame after a reconnect: the leases that are still worked on."""

    held: Annotated[list[HeldLease], Meta(max_length=100_000)] = []


class OfTask(FromAgent, frozen=True):
    """Anything about one lease."""

    task_id: TaskId
    lease: Fence


class Accept(OfTask, frozen=True, tag="accept"):
    pass


class Progress(OfTask, frozen=True, tag="progress"):
    progress: Fraction
    note: Annotated[str, Meta(max_length=1000)] | None = None


class Log(OfTask, frozen=True, tag="log"):
    lines: Annotated[list[LogLine], Meta(max_length=1000)]


class Complete(OfTask, frozen=True, tag="complete"):
    result: msgspec.Raw = msgspec.Raw(b"null")


class Fail(OfTask, frozen=True, tag="fail"):
    error: msgspec.Raw = msgspec.Raw(b"null")
    retryable: bool = True


class Release(OfTask, frozen=True, tag="release"):
    pass


class Cancelled(OfTask, frozen=True, tag="cancelled"):
    pass


class Heartbeat(FromAgent, frozen=True, tag="heartbeat"):
    status: str | None = None
    load_metrics: LoadMetrics | None = None


class Goodbye(FromAgent, frozen=True, tag="goodbye"):
    pass


Incoming = Hello | Accept | Progress | Log | Complete | Fail | Release | Cancelled | Heartbeat | Goodbye
Notes = Progress | Log
"""Reports that are taken in memory and written in batches."""
Steps = Accept | Complete | Fail | Release | Cancelled
"""Reports that are durable before they are answered."""


class ToAgent(msgspec.Struct, gc=False, tag_field="type"):
    """Anything that the server sends."""


class Welcome(ToAgent, tag="welcome"):
    agent_id: str
    instance_id: str
    heartbeat_interval_s: float
    server_time: str


class TaskStarted(ToAgent, tag="task_started"):
    task_id: str
    lease: int
    state: str
    """`cancelling` where the task is not to be started any more."""


class TaskSettled(ToAgent, tag="task_settled"):
    task_id: str
    lease: int
    state: str
    duplicate: bool


class TaskCancel(ToAgent, tag="task_cancel"):
    task_id: str
    lease: int
    reason: str


class LeaseLost(ToAgent, tag="lease_lost"):
    task_id: str
    lease: int
    detail: str


class Error(ToAgent, tag="error", omit_defaults=True):
    detail: str
    code: str | None = None
    task_id: str | None = None
    lease: int | None = None
    retry_after_s: float | None = None


class HeartbeatAck(ToAgent, tag="heartbeat_ack"):
    pass


class Draining(ToAgent, tag="draining"):
    pass


encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Incoming | list[Incoming]).decode


def decode(message: str | bytes) -> list[Incoming]:
    """Read a message into its frames. Raises msgspec.MsgspecError, RecursionError."""
    frames = _decode(message)
    return frames if isinstance(frames, list) else [frames]


_ASSIGNED = b'{"type":"task_assigned",'


def encode_assignment(assignment: Assignment) -> bytes:
    """Write a task_assigned frame: the assignment's own fields behind the type."""
    return _ASSIGNED + encode(assignment)[1:]
