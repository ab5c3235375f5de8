"""The published interface for deployment agents, as far as this agent speaks it.

Names on the wire are camelCase. What this agent does not know is ignored, what is missing has a default: old
agents and new servers get along.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Wire(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Something read off the wire."""


class Task(Wire, frozen=True):
    """A task that was handed to this agent."""

    task_id: str
    task_type: str
    payload: dict[str, Any] = {}
    credentials: dict[str, str] = {}
    timeout: float | None = None
    """Seconds."""
    attempt: int = 1
    lease: int = 0
    """Fencing number of this delivery."""
    idempotent: bool = False

    def __repr__(self) -> str:
        # Structs print every field, and one of these holds secrets.
        return f"Task({self.task_id!r}, {self.task_type!r}, attempt={self.attempt}, lease={self.lease})"


class Config(Wire, frozen=True):
    """What the server wants of this agent; None where it says nothing."""

    heartbeat_interval: float | None = None
    task_poll_interval: float | None = None
    log_level: str | None = None
    certificate_renew_after: float | None = None
    """Seconds of a certificate's life after which to ask for the next."""


class Certificate(Wire, frozen=True):
    """A certificate that was issued for the key of our CSR."""

    cert: str
    ca: str | None = None
    """Bundle that verifies the server."""


class Registered(Wire, frozen=True):
    """The answer to a registration."""

    agent_id: str
    certificate: Certificate
    config: Config = Config()
    token: str | None = None
    """Bound to the certificate; see `Ticket`."""


class Ticket(Wire, frozen=True):
    """A token bound to the certificate: where a proxy ends TLS it is asked for beside it."""

    token: str
    expires_in: float = 3_600.0
    """Seconds."""


class Authorities(Wire, frozen=True):
    """The roots that vouch for the server."""

    ca: str


class Beat(Wire, frozen=True):
    """The answer to a heartbeat. Tasks are decoded one by one: a strange one must not cost the others."""

    tasks: list[msgspec.Raw] = []
    certificate_renewal: Certificate | None = None
    cancelled_tasks: list[str] = []
    config: Config | None = None


class Frame(Wire, frozen=True):
    """A message of the task-stream, from the server."""

    type: str
    task: msgspec.Raw = msgspec.Raw()
    task_id: str | None = None
    lease: int | None = None
    config: Config | None = None
    code: str | None = None
    message: str | None = None


class Fault(Wire, frozen=True):
    """The inside of an error body."""

    code: str = ""
    message: str = ""


class ErrorBody(Wire, frozen=True):
    """An error as the interface words it."""

    error: Fault = Fault()


def decode_frames(message: str | bytes) -> list[Frame]:
    """Read a message of the stream: one frame, or several in an array. Raises DecodeError."""
    frames = msgspec.json.decode(message, type=list[Frame] | Frame)
    return frames if isinstance(frames, list) else [frames]


def decode_task(raw: msgspec.Raw) -> Task | None:
    """Read a task; None for something that is none."""
    try:
        return msgspec.json.decode(raw, type=Task)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
