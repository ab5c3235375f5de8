"""The error table of the interface: `{"error": word or text, "message"?: text}` throughout, and 400 for what
does not fit."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stellwerk.fleet.errors import (
    InvalidId,
    InvalidWeight,
    OwnedByAnother,
    UnknownAgent,
    UnknownVersion,
    WeightsChanged,
)
from stellwerk.http.problem import Problem, Rendered
from stellwerk.traffic.refusals import InvalidOptions
from stellwerk.traffic.restart import RestartRefused, UnknownRestart
from stellwerk.trust.connectors.capabilities import UnknownCapability
from stellwerk.trust.connectors.tokens import (
    CapabilitiesExceeded,
    FixedConnectorToken,
    InvalidConnectorToken,
    UnknownConnectorToken,
)

TEXT = ""
"""Code of a problem whose text alone is shown, as `error`."""
WEIGHT_REQUIRED = "weight is required"
WEIGHT_RANGE = "weight must be between 0 and 10000"


class Refusal(msgspec.Struct, omit_defaults=True):
    """Every error."""

    error: str
    message: str | UnsetType = UNSET
    required: str | UnsetType = UNSET
    """The capability that the token lacks, in the documented vocabulary."""
    restart_id: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET


def said(status: int, text: str) -> Problem:
    """Refuse with a text only, as the published interface does."""
    return Problem(status, TEXT, text)


def unauthorized() -> Problem:
    """Ask for a token."""
    text = "connector token required: send Authorization: Bearer <token>, or X-Connector-Token"
    return Problem(401, "unauthorized", text, {"www-authenticate": 'Bearer realm="connector"'})


TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    UnknownAgent: lambda _: said(404, "agent not found"),
    UnknownVersion: lambda _: said(404, "agent version not found"),
    InvalidId: lambda _: said(404, "agent not found"),
    InvalidWeight: lambda _: said(400, WEIGHT_RANGE),
    WeightsChanged: lambda error: Problem(412, "weights_changed", str(error), {"etag": f'"{error.tag}"'}),
    OwnedByAnother: lambda error: Problem.forbidden(str(error), "owned_by_another"),
    InvalidOptions: lambda error: Problem(400, "invalid_options", str(error)),
    RestartRefused: lambda error: Problem.conflict(str(error), error.why),
    UnknownRestart: lambda _: said(404, "restart not found"),
    UnknownCapability: lambda error: Problem(400, "unknown_capability", str(error)),
    InvalidConnectorToken: lambda error: Problem(400, "invalid_token", str(error)),
    CapabilitiesExceeded: lambda error: Problem.forbidden(str(error), "capabilities_exceeded"),
    UnknownConnectorToken: lambda _: said(404, "connector token not found"),
    FixedConnectorToken: lambda error: Problem.conflict(str(error), "token_is_configured"),
}


def refuse(error: Exception) -> Problem | None:
    """Find the problem that an expected refusal is; None for what nobody expected."""
    if isinstance(error, Problem):
        return error
    entry = TABLE.get(type(error))
    return None if entry is None else entry(error)


def render_problem(problem: Problem, request_id: str) -> Rendered:
    """Write an error answer."""
    headers = [(b"content-type", b"application/json")]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    status = 400 if problem.status == 422 else problem.status
    if problem.code == TEXT:
        body = Refusal(problem.detail)
    else:
        code = "unauthorized" if status == 401 else problem.code
        body = Refusal(
            code,
            problem.detail,
            required=problem.fields.get("required", UNSET),
            restart_id=problem.fields.get("restart_id", UNSET),
        )
    if status == 500:
        body.request_id = request_id
    return status, headers, msgspec.json.encode(body)
