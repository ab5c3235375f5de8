"""The submission: from its body to what the queue takes."""

import re
from typing import Any, TypeVar

import msgspec

from stellwerk.http.instants import microseconds_or_none
from stellwerk.http.operation import Call
from stellwerk.http.problem import Problem
from stellwerk.http.texts import NAMED
from stellwerk.interfaces.coordinator.wire import tasks as wire
from stellwerk.trust.vault.references import check_references
from stellwerk.work.priority import check_priority, priority_named
from stellwerk.work.requirements import Requirements
from stellwerk.work.task import Submission

T = TypeVar("T")

KEY_HEADER_LENGTH = 253
KEY_HEADER = {
    "type": "string",
    "maxLength": KEY_HEADER_LENGTH,
    "pattern": NAMED,
    "description": "Makes repetitions of this submission one task.",
}
NORMAL = "normal"
SECOND_US = 1_000_000

_task_data = msgspec.json.Decoder(wire.TaskData)
_requirements = msgspec.json.Decoder(wire.Requirements | None)
_NOTHING = Requirements()


def submission(call: Call[wire.SubmitTask, None]) -> Submission:
    """Read a submission. Raises Problem, InvalidPriority, InvalidReference."""
    body = call.body
    data = bytes(body.task_data)
    head = _decode(_task_data, data, "task_data")
    priority = NORMAL if body.priority is None else body.priority
    number = priority_named(priority) if isinstance(priority, str) else check_priority(priority)
    asked = bytes(body.requirements)
    return Submission(
        task_data=data.decode(),
        task_type=head.task_type or "",
        priority=number,
        priority_name=str(priority),
        requirements=_read_requirements(asked),
        requirements_text="{}" if asked == b"null" else asked.decode(),
        preferred=_preferred(head.required_capabilities),
        task_id=body.task_id or head.task_id,
        idempotency_key=_idempotency_key(call),
        repeatable=body.repeatable,
        max_attempts=body.max_attempts,
        not_before=microseconds_or_none(body.not_before),
        delay_us=_duration(body.delay_s),
        deadline_at=microseconds_or_none(body.deadline),
        timeout_us=_duration(body.timeout_s),
    )


def _decode(decoder: "msgspec.json.Decoder[T]", text: bytes, field: str) -> T:
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Problem.invalid(f"{field}: {error}") from None


def _read_requirements(text: bytes) -> Requirements:
    asked = None if text in (b"null", b"{}") else _decode(_requirements, text, "requirements")
    if asked is None:
        return _NOTHING
    check_references(asked.credentials or {})
    return Requirements(
        agent_type=asked.agent_type,
        capabilities=tuple(asked.capabilities or ()),
        services=tuple(asked.services or ()),
        labels=asked.labels or {},
        min_health_score=asked.min_health_score,
        agent=asked.agent,
        certified=bool(asked.credentials),
    )


def _preferred(given: Any) -> tuple[str, ...]:
    return tuple(text for text in given if isinstance(text, str)) if isinstance(given, list) else ()


def _idempotency_key(call: Call[wire.SubmitTask, None]) -> str | None:
    header = call.header(b"idempotency-key")
    if header is None:
        return call.body.idempotency_key
    if call.body.idempotency_key not in (None, header):
        detail = "The header Idempotency-Key and the field idempotency_key differ"
        raise Problem.conflict(detail, "idempotency_conflict")
    if len(header) > KEY_HEADER_LENGTH or re.fullmatch(NAMED, header) is None:
        raise Problem.invalid(f"Idempotency-Key has 1 to {KEY_HEADER_LENGTH} printable characters")
    return header


def _duration(given_s: float | None) -> int | None:
    return None if given_s is None else int(given_s * SECOND_US)
