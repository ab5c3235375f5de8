"""The error table of the interface: problem details (RFC 7807) throughout, with the published types."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec

from stellwerk.http.problem import Problem, Rendered, whole_seconds
from stellwerk.inquiry.remedies.remedy import (
    AlreadyDecided,
    CannotRemedy,
    MayNotApprove,
    UnknownRemedy,
    UnknownWorkflow,
)
from stellwerk.inquiry.remedies.workflow import InvalidWorkflow
from stellwerk.inquiry.sessions.session import (
    AlreadyEnded,
    AtCapacity,
    NotEnded,
    SessionState,
    UnknownSession,
)
from stellwerk.journal.position import UnknownCursor
from stellwerk.release.clusters.errors import ClusterUnavailable, NotSelected, Refused, UnknownKind

BASE: Final = "https://kubernaut.ai/problems/"
MEDIA_TYPE: Final = "application/problem+json"
VALIDATION: Final = "validation-error"

# By status: type and title. Two codes of ours have a type of their own.
_KINDS = {
    400: (VALIDATION, "Bad Request"),
    404: ("not-found", "Not Found"),
    405: ("method-not-allowed", "Method Not Allowed"),
    409: ("conflict", "Conflict"),
    413: ("payload-too-large", "Payload Too Large"),
    415: ("unsupported-media-type", "Unsupported Media Type"),
    422: (VALIDATION, "Validation Error"),
    429: ("too-many-requests", "Too Many Requests"),
    500: ("internal-error", "Internal Server Error"),
    503: ("service-unavailable", "Service Unavailable"),
}
_TITLES = {"session_not_found": "Session Not Found"}
_TYPES = {
    "session_already_terminal": "session-already-terminal",
    "session_in_progress": "session-in-progress",
}
_TITLES |= {
    "session_already_terminal": "Session Already Terminal",
    "session_in_progress": "Session In Progress",
}


class HTTPError(msgspec.Struct, omit_defaults=True):
    """Every error."""

    type: str
    title: str
    detail: str
    status: int
    instance: str
    """Names this occurrence: the request."""
    request_id: str | None = None
    code: str | None = None
    """A word for programs, finer than the type: `missing_scope`."""


def validation(detail: str) -> Problem:
    """Refuse values that fit their types and make no sense (422)."""
    return Problem(422, "validation", detail)


def malformed(detail: str) -> Problem:
    """Refuse what does not fit the schema (400)."""
    return Problem.invalid(detail)


def not_ready(session: Any) -> Problem:
    """Say that a result is not there, in the published words."""
    if session.state is SessionState.PENDING or not session.ended:
        return Problem.conflict(f"Session is still {session.state}, result not yet available")
    why = f": {session.error}" if session.error else ""
    return Problem.conflict(f"session {session.id} is {session.state}, not completed{why}")


def cannot_remedy(error: CannotRemedy) -> Problem:
    """Say why a remedy is not carried out."""
    if error.code == "missing_scope":
        return Problem.forbidden(str(error), error.code)
    return Problem.conflict(str(error), error.code)


TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    UnknownSession: lambda error: Problem.not_found(str(error), "session_not_found"),
    NotEnded: lambda error: not_ready(error.session),
    AlreadyEnded: lambda error: Problem.conflict(str(error), "session_already_terminal"),
    UnknownRemedy: lambda error: Problem.not_found(f"remedy {error} not found", "remedy_not_found"),
    UnknownWorkflow: lambda error: Problem.not_found(f"workflow {error} not found", "workflow_not_found"),
    InvalidWorkflow: lambda error: validation(str(error)),
    CannotRemedy: cannot_remedy,
    MayNotApprove: lambda error: Problem.forbidden(str(error), "may_not_approve"),
    AlreadyDecided: lambda error: Problem.conflict(str(error), "already_decided"),
    NotSelected: lambda error: Problem(503, "no_cluster", str(error), {"retry-after": "30"}),
    ClusterUnavailable: lambda error: Problem.unavailable(error.detail, error.retry_after_s),
    Refused: lambda error: Problem.conflict(f"the cluster refuses: {error}", "refused"),
    UnknownKind: lambda error: Problem.conflict(str(error), "unknown_kind"),
    UnknownCursor: lambda error: Problem.not_found(str(error), "unknown_cursor"),
    AtCapacity: lambda error: Problem.too_many(str(error), error.retry_after_s),
}


def refuse(error: Exception) -> Problem | None:
    """Find the problem that an expected refusal is; None for what nobody expected."""
    if isinstance(error, Problem):
        return error
    entry = TABLE.get(type(error))
    return None if entry is None else entry(error)


def render_problem(problem: Problem, request_id: str) -> Rendered:
    """Write an error answer."""
    # What the schema refuses is 400 here; 422 is for what fits it.
    status = 400 if problem.status == 422 and problem.code == "invalid" else problem.status
    kind, title = _KINDS.get(status, ("", ""))
    kind = _TYPES.get(problem.code, kind)
    body = HTTPError(
        type=BASE + kind if kind else "about:blank",
        title=_TITLES.get(problem.code) or title or HTTPStatus(status).phrase,
        detail=problem.detail,
        status=status,
        instance=f"urn:stellwerk:request:{request_id}",
        request_id=request_id,
        code=problem.code,
    )
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    if status == 503 and "retry-after" not in problem.headers:
        headers.append((b"retry-after", whole_seconds(1).encode()))
    return status, headers, msgspec.json.encode(body)
