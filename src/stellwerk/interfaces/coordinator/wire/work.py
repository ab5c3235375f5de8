"""Bodies of those who work: claims, reports on a lease, and the assignments that they get."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stellwerk.http.instants import Moment, Timestamp
from stellwerk.interfaces.coordinator.wire.tasks import State
from stellwerk.interfaces.coordinator.wire.text import Fence, Id, no_json

Success = Literal["success"]
LINES = 1000
MOST_LINES = 2**53
Level = Literal["debug", "info", "warning", "error", "critical"]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
SEQUENCE = {"type": "integer", "minimum": 0, "maximum": MOST_LINES}
ERROR = {"anyOf": [{"type": "string"}, {"type": "object"}]}


class Claim(msgspec.Struct, kw_only=True):
    """An agent that asks for tasks; waits up to `wait_s` for the first."""

    agent_id: Id
    instance_id: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 1
    wait_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.0


class Assignment(msgspec.Struct, kw_only=True):
    """One leased attempt. `lease` comes back with every report on it."""

    task_id: str
    attempt: int
    lease: int
    task_type: str
    task_data: msgspec.Raw
    requirements: msgspec.Raw
    priority: str
    repeatable: bool
    submitted_at: Timestamp
    deadline: Timestamp | None
    timeout_s: float | None
    lease_expires_at: Timestamp


class Claimed(msgspec.Struct, kw_only=True):
    status: Success = "success"
    tasks: list[Assignment]
    count: int
    timestamp: Timestamp


class HeartbeatTaken(msgspec.Struct, kw_only=True, omit_defaults=True):
    status: Annotated[str, Meta(extra_json_schema={"x-replace": {"const": "success"}})]
    message: str
    agent_id: str
    heartbeat_at: Timestamp
    tasks: Annotated[list[Assignment] | None, Meta(description="Only where `claim` asked for some.")] = None


class LeaseReport(msgspec.Struct, kw_only=True):
    """Who speaks about which lease."""

    agent_id: Id
    lease: Fence
    instance_id: Id | None = None


class ProgressReport(LeaseReport, kw_only=True):
    """How far it is; a smaller value than before is taken as the one before."""

    progress: Fraction
    note: Annotated[str, Meta(max_length=1000)] | None = None


class LogLine(msgspec.Struct, kw_only=True):
    """One line; the same number again is the same line."""

    seq: Annotated[int | float, Meta(extra_json_schema={"x-replace": SEQUENCE})]
    line: str
    level: Level = "info"
    at: Moment | None = None


class LogReport(LeaseReport, kw_only=True):
    lines: Annotated[list[LogLine], Meta(max_length=LINES)]


class Completion(LeaseReport, kw_only=True):
    """The result, any JSON."""

    result: msgspec.Raw = msgspec.field(default_factory=no_json)


class Failure(LeaseReport, kw_only=True):
    """The error, and whether another attempt may help."""

    error: Annotated[msgspec.Raw, Meta(extra_json_schema={"x-replace": ERROR})] = msgspec.field(
        default_factory=no_json
    )
    retryable: bool = True


class Standing(msgspec.Struct, kw_only=True):
    status: Success = "success"
    task_id: str
    state: State
    lease_expires_at: Timestamp
    reason: str | None = None
    """Why the task is to stop, while its state is `cancelling`."""
    timestamp: Timestamp
