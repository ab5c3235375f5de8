"""How a task ended, in the words of the wire, safe to write down and to send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from stellwerk.agent.executors.executor import Failed, Result
from stellwerk.agent.masking import Masks

Outcome = dict[str, Any]

RESULT_BYTES = 512 * 1024
LOG_BYTES = 384 * 1024
"""Result and logs together stay below the server's 1 MiB for a body, envelope and escapes included."""
STREAM_BYTES = 48 * 1024
"""Larger completions go by request: frames of the stream may be limited to 64 KiB."""
RESTARTED = "agent.restarted"


def succeeded(result: Result, masks: Masks) -> Outcome:
    """The work is done."""
    return {"success": True, "result": _fitting(masks.hide_in(result))}


def failed(failure: Failed, masks: Masks) -> Outcome:
    """The work failed and is undone."""
    outcome: Outcome = {
        "success": False,
        "error": {
            "type": failure.error_type,
            "message": masks.hide(failure.message)[:8000],
            "retriable": failure.retriable,
        },
    }
    return outcome | ({"result": _fitting(masks.hide_in(failure.result))} if failure.result else {})


def cancelled() -> Outcome:
    """The task was cancelled and is undone, or never began."""
    error = {"type": "agent.cancelled", "message": "the task was cancelled", "retriable": False}
    return {"success": False, "cancelled": True, "error": error}


def timed_out(message: str) -> Outcome:
    """The task took too long and is undone."""
    error = {"type": "agent.timed_out", "message": message, "retriable": False}
    return {"success": False, "timedOut": True, "error": error}


def restarted() -> Outcome:
    """The agent restarted before the task was begun, and the server does not take it back."""
    message = "the agent restarted before it began this task"
    return {"success": False, "error": {"type": RESTARTED, "message": message, "retriable": True}}


def fits_stream(outcome: Outcome) -> bool:
    """Whether a completion is small enough for a frame."""
    return len(msgspec.json.encode(outcome)) <= STREAM_BYTES


def last_lines(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the last lines that fit into a completion."""
    kept: list[dict[str, Any]] = []
    room = LOG_BYTES
    for line in reversed(list(lines)):
        room -= len(msgspec.json.encode(line)) + 1
        if room < 0:
            break
        kept.append(line)
    kept.reverse()
    return kept


def _fitting(result: Any) -> Any:
    try:
        size = len(msgspec.json.encode(result))
    except (TypeError, ValueError, OverflowError) as error:
        return {"unreadable": f"the result cannot be written as JSON: {error}"}
    return result if size <= RESULT_BYTES else {"truncated": True, "sizeBytes": size}
