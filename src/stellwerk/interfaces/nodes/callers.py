"""What headers say of a call: the run that it belongs to, who calls, which version is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stellwerk.http.operation import Call
from stellwerk.http.problem import Problem
from stellwerk.http.texts import PRINTABLE

LONGEST = 200
TEXT = {"type": "string", "maxLength": LONGEST, "pattern": PRINTABLE}
HEADERS: Mapping[str, Any] = {
    "X-Run-ID": {**TEXT, "description": "The run that the call belongs to; without one it begins a run."},
    "X-Parent-Execution-ID": {**TEXT, "description": "The execution that calls."},
    "X-Session-ID": {**TEXT, "description": "Stays with a version, where the agent's option says so."},
    "X-Actor-ID": TEXT,
    "X-Version": {**TEXT, "description": "Calls this version, in rotation or not."},
    "Idempotency-Key": {**TEXT, "description": "The same key and call is the same execution, for a day."},
}
HANDED_ON = (
    b"x-caller-did",
    b"x-target-did",
    b"x-parent-vc-id",
    b"x-parent-workflow-id",
    b"x-root-workflow-id",
    b"x-agentfield-replay-source-run-id",
    b"x-agentfield-replay-before-execution-id",
    b"x-agentfield-replay-mode",
    b"traceparent",
    b"tracestate",
)
"""What the agent is told beside what we know ourselves."""
HANDED_ON_CHARACTERS = 1_024


@dataclass(frozen=True, slots=True)
class Said:
    """The headers of a call; None is not said."""

    run_id: str | None
    parent_id: str | None
    session_id: str | None
    actor_id: str | None
    caller: str | None
    version: str | None
    idempotency_key: str | None
    handed_on: Mapping[str, str]


def said_by(call: Call[Any, Any]) -> Said:
    """Read the headers of a call. Raises Problem."""
    given = dict(call.headers)
    return Said(
        # An agent's own id stands in X-Execution-ID: it is the parent of what is begun here.
        run_id=_text(given, b"x-run-id", b"x-workflow-id"),
        parent_id=_text(given, b"x-parent-execution-id", b"x-execution-id"),
        session_id=_text(given, b"x-session-id"),
        actor_id=_text(given, b"x-actor-id"),
        caller=_text(given, b"x-caller-agent-id", b"x-agent-node-id"),
        version=_text(given, b"x-version"),
        idempotency_key=_text(given, b"idempotency-key"),
        handed_on={
            name.decode(): value.decode("latin-1")
            for name in HANDED_ON
            if (value := given.get(name)) and len(value) <= HANDED_ON_CHARACTERS and value.isascii()
        },
    )


def header_text(given: Mapping[bytes, bytes], name: bytes) -> str | None:
    """Read one header; None where it is missing or empty. Raises Problem."""
    value = given.get(name)
    if not value:
        return None
    text = value.decode("latin-1").strip()
    if len(text) > LONGEST or not text.isascii() or not text.isprintable():
        raise Problem.invalid(f"{name.decode()} has at most {LONGEST} printable ASCII characters")
    return text or None


def _text(given: Mapping[bytes, bytes], *names: bytes) -> str | None:
    return next((text for name in names if (text := header_text(given, name))), None)
