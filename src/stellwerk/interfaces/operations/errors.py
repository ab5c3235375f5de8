"""The error table of the interface: `{"detail": text, "code": word}` throughout."""

from collections.abc import Callable
from typing import Any

import msgspec

from stellwerk.http.problem import Problem, Rendered
from stellwerk.journal.position import UnknownCursor
from stellwerk.trust.keys import InvalidKey, ScopesExceeded, UnknownKey


class Refusal(msgspec.Struct):
    """An error; `code` is for programs."""

    detail: str
    code: str


TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    InvalidKey: lambda error: Problem.invalid(str(error)),
    ScopesExceeded: lambda error: Problem.forbidden(str(error), "scopes_exceeded"),
    UnknownKey: lambda _: Problem.not_found("Key not found"),
    UnknownCursor: lambda error: Problem.not_found(str(error), "unknown_cursor"),
}


def refuse(error: Exception) -> Problem | None:
    """Find the problem that an expected refusal is; None for what nobody expected."""
    entry = TABLE.get(type(error))
    return None if entry is None else entry(error)


def render_problem(problem: Problem, request_id: str) -> Rendered:
    """Write an error answer."""
    headers = [(b"content-type", b"application/json")]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    return problem.status, headers, msgspec.json.encode(Refusal(problem.detail, problem.code))
