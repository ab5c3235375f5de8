"""The error table: what each expected refusal becomes, and the shape of every error body.

`{"error": text, "error_category": word}`; a node that cannot be called has the word in `error` and the text
in `message`, as the published interface does. Bodies and parameters that do not fit are 400 here, not 422:
that status is the agents' own.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from stellwerk.fleet.errors import InvalidId, InvalidRegistration, OwnedByAnother, UnknownAgent
from stellwerk.http.problem import Problem, Rendered, whole_seconds
from stellwerk.traffic import refusals
from stellwerk.traffic.memory import MemoryFull

UNAVAILABLE = "node_unavailable"
RETRY_AFTER_S = 2
"""A node that comes back is heard within a heartbeat."""
CATEGORIES = {
    "unauthenticated": "unauthorized",
    "invalid": "invalid_request",
    "invalid_json": "invalid_request",
    "internal": "internal",
}
"""Words of the published interface for what is refused before an operation is reached."""


class Refusal(msgspec.Struct, omit_defaults=True):
    """Every error."""

    error: str
    error_category: str
    message: str | None = None


TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    InvalidId: lambda error: Problem.invalid(str(error)),
    InvalidRegistration: lambda error: Problem.invalid(str(error)),
    UnknownAgent: lambda _: Problem.not_found("node not found", "node_not_found"),
    OwnedByAnother: lambda error: Problem.conflict(str(error), "owned_by_another"),
    refusals.UnknownTarget: lambda error: Problem(400, "target_not_found", str(error)),
    refusals.UnknownVersion: lambda error: Problem.not_found(str(error), "version_not_found"),
    refusals.NoVersion: lambda error: Problem(
        503, UNAVAILABLE, str(error), {"retry-after": str(RETRY_AFTER_S)}
    ),
    refusals.Overloaded: lambda error: Problem(
        429, "concurrency_limit", str(error), {"retry-after": str(error.retry_after_s)}
    ),
    refusals.QueueFull: lambda error: Problem(
        503, "queue_full", str(error), {"retry-after": whole_seconds(error.retry_after_s)}
    ),
    refusals.InvalidCall: lambda error: Problem.invalid(str(error)),
    refusals.KeyConflict: lambda error: Problem.conflict(str(error), "idempotency_conflict"),
    refusals.UnknownExecution: lambda error: Problem.not_found(str(error), "execution_not_found"),
    refusals.NotYourExecution: lambda error: Problem.forbidden(str(error), "not_your_execution"),
    refusals.AlreadyEnded: lambda error: Problem(409, "already_ended", str(error)),
    refusals.ResultTooLarge: lambda error: Problem(413, "too_large", str(error)),
    MemoryFull: lambda error: Problem.conflict(str(error), "memory_full"),
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


def render_problem(problem: Problem, request_id: str) -> Rendered:
    """Write an error answer."""
    headers = [(b"content-type", b"application/json")]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    category = CATEGORIES.get(problem.code, problem.code)
    if problem.code == UNAVAILABLE:
        body = Refusal(UNAVAILABLE, category, problem.detail)
    else:
        body = Refusal(problem.detail, category)
    status = 400 if problem.status == 422 else problem.status
    return status, headers, msgspec.json.encode(body)
