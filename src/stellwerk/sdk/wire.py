"""The frames between a worker and the control plane.

Frames are JSON objects with a `type`, or arrays of them. Incoming ones are read into one flat type rather
than a tagged union, so that a type that a newer server sends is passed over instead of breaking the
connection.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Frame(msgspec.Struct, frozen=True, gc=False):
    """Anything that the server sends: the fields of all types of frames."""

    type: str = ""
    task_id: str = ""
    lease: int = 0
    attempt: int = 1
    task_type: str | None = None
    task_data: Any = None
    requirements: msgspec.Raw = msgspec.Raw()
    repeatable: bool = True
    deadline: str | None = None
    timeout_s: float | None = None
    state: str | None = None
    reason: str | None = None
    detail: Any = None
    code: Any = None
    retry_after_s: float | None = None
    heartbeat_interval_s: float | None = None


class Line(msgspec.Struct, frozen=True, gc=False):
    seq: int
    line: str
    level: str
    at: datetime


class Lease(msgspec.Struct, frozen=True, gc=False):
    task_id: str
    lease: int


class Outgoing(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """Anything that the worker sends."""


class Hello(Outgoing, frozen=True, tag="hello"):
    held: list[Lease]


class Accept(Outgoing, frozen=True, tag="accept"):
    task_id: str
    lease: int


class Progress(Outgoing, frozen=True, tag="progress", omit_defaults=True):
    task_id: str
    lease: int
    progress: float
    note: str | None = None


class Log(Outgoing, frozen=True, tag="log"):
    task_id: str
    lease: int
    lines: list[Line]


class Complete(Outgoing, frozen=True, tag="complete"):
    task_id: str
    lease: int
    result: Any


class Fail(Outgoing, frozen=True, tag="fail"):
    task_id: str
    lease: int
    error: Any
    retryable: bool


class Release(Outgoing, frozen=True, tag="release"):
    task_id: str
    lease: int


class Cancelled(Outgoing, frozen=True, tag="cancelled"):
    task_id: str
    lease: int


class Heartbeat(Outgoing, frozen=True, tag="heartbeat", omit_defaults=True):
    load_metrics: dict[str, float]
    status: str | None = None


class Goodbye(Outgoing, frozen=True, tag="goodbye"):
    pass


_one = msgspec.json.Decoder(Frame)
_many = msgspec.json.Decoder(list[Frame])

encode = msgspec.json.Encoder().encode


def decode(message: str | bytes) -> list[Frame]:
    """Read a message into its frames. Raises msgspec's `DecodeError`."""
    if message[:1] in ("[", b"["):
        return _many.decode(message)
    return [_one.decode(message)]
