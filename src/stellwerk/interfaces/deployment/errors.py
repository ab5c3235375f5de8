"""The error table: what each expected refusal becomes, and the shape of every error body.

`{"error": {"code", "message", "details"}, "requestId"}`. Codes are for programs; an agent decides by them
whether to come back (see `judging.Code`).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from stellwerk.fleet.deployment.changing import BeyondToken, NameTaken, UnknownDeployment
from stellwerk.fleet.deployment.service import ChangedMeanwhile
from stellwerk.fleet.deployment.sessions import SessionConflict
from stellwerk.fleet.errors import InvalidId, InvalidRegistration, OwnedByAnother, UnknownAgent
from stellwerk.http.problem import Problem, Rendered
from stellwerk.trust.authority.authority import RotationUnderWay
from stellwerk.trust.authority.requests import RequestRefused
from stellwerk.trust.certificates.issuing import RevokedMeanwhile, ServerKeysDenied
from stellwerk.trust.certificates.judging import Code, Refused
from stellwerk.trust.enrolment.tokens import InvalidToken, Reason, TokenRefused, UnknownToken
from stellwerk.trust.vault.references import InvalidReference
from stellwerk.trust.vault.service import InvalidSecret, UnknownSecret
from stellwerk.trust.vault.store import ChangedMeanwhile as SecretChanged
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
from stellwerk.work.states import FINISHED


class Fault(msgspec.Struct):
    code: str
    message: str
    details: dict[str, Any]


class Refusal(msgspec.Struct, rename="camel"):
    """Every error."""

    error: Fault
    request_id: str


def certificate_refused(refused: Refused) -> Problem:
    """Say why a certificate or token is not good; only an agent that was removed must never come back."""
    status = 403 if refused.code is Code.REVOKED else 401
    return Problem(status, refused.code.value, refused.detail)


def _token_refused(error: TokenRefused) -> Problem:
    status = 403 if error.reason is Reason.SCOPE else 401
    return Problem(status, error.reason.value, error.detail)


def _not_possible(error: NotPossible) -> Problem:
    if error.state in FINISHED:
        return Problem(409, "task.finished", str(error))
    return Problem.conflict(str(error), "task.not_possible")


TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    TokenRefused: _token_refused,
    RequestRefused: lambda error: Problem(400, error.code, error.detail),
    ServerKeysDenied: lambda error: Problem(400, "csr.required", str(error)),
    RevokedMeanwhile: lambda error: Problem.forbidden(str(error), Code.REVOKED.value),
    BeyondToken: lambda error: Problem.forbidden(str(error), Reason.SCOPE.value),
    NameTaken: lambda error: Problem.conflict(str(error), "agent.name_taken"),
    OwnedByAnother: lambda error: Problem.conflict(str(error), "owned_by_another"),
    UnknownDeployment: lambda _: Problem.not_found("Agent not found", "agent.not_found"),
    UnknownAgent: lambda _: Problem.not_found("Agent not found", "agent.not_found"),
    SessionConflict: lambda error: Problem.conflict(str(error), "agent.session.conflict"),
    ChangedMeanwhile: lambda error: Problem(412, "agent.changed", str(error)),
    InvalidId: lambda error: Problem.invalid(str(error)),
    InvalidRegistration: lambda error: Problem.invalid(str(error)),
    InvalidToken: lambda error: Problem.invalid(str(error)),
    UnknownToken: lambda _: Problem.not_found("Registration token not found", "registration_token.not_found"),
    InvalidSecret: lambda error: Problem.invalid(str(error)),
    UnknownSecret: lambda error: Problem.not_found(str(error), "secret.not_found"),
    SecretChanged: lambda _: Problem.conflict("The secret was changed at the same time", "secret.changed"),
    InvalidReference: lambda error: Problem.invalid(str(error), "credentials.invalid"),
    RotationUnderWay: lambda error: Problem.conflict(str(error), "authority.rotating"),
    UnknownTask: lambda _: Problem.not_found("Task not found", "task.not_found"),
    InvalidPriority: lambda error: Problem(400, "task.priority_invalid", str(error)),
    InvalidTask: lambda error: Problem.invalid(str(error)),
    InvalidCursor: lambda _: Problem.not_found("Unknown cursor", "cursor.unknown"),
    IdempotencyConflict: lambda error: Problem.conflict(str(error), "task.idempotency_conflict"),
    QueueFull: lambda error: Problem.unavailable(str(error), error.retry_after_s),
    TooManyForms: lambda error: Problem.unavailable(str(error), error.retry_after_s),
    TooLarge: lambda error: Problem(413, "too_large", str(error)),
    LeaseLost: lambda error: Problem.conflict(str(error), "task.stale_attempt"),
    ConflictingResult: lambda error: Problem.conflict(str(error), "task.already_completed"),
    NotPossible: _not_possible,
    NotYours: lambda error: Problem.forbidden(str(error), "task.not_yours"),
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
    details = {name: value for name, value in problem.fields.items() if name != "request_id"}
    body = Refusal(Fault(problem.code, problem.detail, details), request_id)
    return problem.status, headers, msgspec.json.encode(body)
