"""The error table: what each expected refusal becomes, and the shape of every error body.

`{"detail": text}` throughout. Not found carries three more keys, so that both readers of the document and
existing clients find what they look for. Conflicts and refusals of access carry a `code` for programs.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from stellwerk.clock import Clock
from stellwerk.fleet.errors import InvalidId, InvalidRegistration, OwnedByAnother, UnknownAgent
from stellwerk.http.instants import Timestamp, iso
from stellwerk.http.problem import Problem, Rendered, RenderProblem
from stellwerk.trust.vault.references import InvalidReference
from stellwerk.work.balancing.catalogue import UnknownStrategy
from stellwerk.work.refusals import (
    ConflictingResult,
    IdempotencyConflict,
    InvalidCursor,
    InvalidPriority,
    InvalidTask,
    LeaseLost,
    NotPossible,
    NotYours,
    QueueFull,
    TooLarge,
    TooManyForms,
    UnknownTask,
)

AGENT_NOT_FOUND = "Agent not found"
TASK_NOT_FOUND = "Task not found"


class Refusal(msgspec.Struct, omit_defaults=True):
    """An error; `code` is for programs."""

    detail: str
    code: str | None = None


class NotFound(msgspec.Struct):
    """No such agent, task or path."""

    detail: str
    status: str
    message: str
    timestamp: Timestamp


TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    InvalidId: lambda error: Problem.invalid(str(error)),
    InvalidRegistration: lambda error: Problem.invalid(str(error)),
    UnknownAgent: lambda _: Problem.not_found(AGENT_NOT_FOUND),
    OwnedByAnother: lambda error: Problem.conflict(str(error), "owned_by_another"),
    UnknownTask: lambda _: Problem.not_found(TASK_NOT_FOUND),
    InvalidPriority: lambda error: Problem(400, "invalid_priority", str(error)),
    InvalidReference: lambda error: Problem.invalid(str(error)),
    InvalidTask: lambda error: Problem.invalid(str(error)),
    InvalidCursor: lambda _: Problem.not_found("Unknown cursor", "unknown_cursor"),
    IdempotencyConflict: lambda error: Problem.conflict(str(error), "idempotency_conflict"),
    QueueFull: lambda error: Problem.unavailable(str(error), error.retry_after_s),
    TooManyForms: lambda error: Problem.unavailable(str(error), error.retry_after_s),
    TooLarge: lambda error: Problem(413, "too_large", str(error)),
    LeaseLost: lambda error: Problem.conflict(str(error), "lease_lost"),
    ConflictingResult: lambda error: Problem.conflict(str(error), "conflicting_result"),
    NotPossible: lambda error: Problem.conflict(str(error), "not_possible"),
    NotYours: lambda error: Problem.conflict(str(error), "owned_by_another"),
    UnknownStrategy: lambda error: Problem(400, "invalid_strategy", str(error)),
}


def refuse(error: Exception) -> Problem | None:
    """Find the problem that an expected refusal is; None for what nobody expected."""
    if isinstance(error, Problem):
        return error
    for kind in type(error).__mro__:
        entry = TABLE.get(kind)
        if entry is not None:
            return entry(error)
    return None


def problem_renderer(clock: Clock) -> RenderProblem:
    """Make the function that writes the interface's error answers."""

    def render(problem: Problem, request_id: str) -> Rendered:
        headers = [(b"content-type", b"application/json")]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
        body: msgspec.Struct
        if problem.status == 404:
            body = NotFound(problem.detail, "error", "Resource not found", iso(clock.now_us()))
        else:
            body = Refusal(problem.detail, problem.code if problem.status in (401, 403, 409) else None)
        return problem.status, headers, msgspec.json.encode(body)

    return render
