"""The error table of the interface: `{"error": code, "message": text, "details": {text: text}}` throughout,
and 400 for what does not fit."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from stellwerk.http.problem import Problem, Rendered, whole_seconds
from stellwerk.interfaces.conductor.wire.operations import ShownOperation
from stellwerk.journal.position import UnknownCursor
from stellwerk.release.application.application import UnknownServices
from stellwerk.release.callbacks import Vetoed
from stellwerk.release.choosing import NothingDescribed
from stellwerk.release.clusters.errors import ClusterUnavailable, Conflict, NotSelected, Refused, UnknownKind
from stellwerk.release.environment import UnknownWorkload
from stellwerk.release.fault import Fault
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.manifests import UnfitOverride, UnknownManifest
from stellwerk.release.operations.record import Busy, UnknownOperation, UnknownRevision, Unreadable
from stellwerk.release.parameters.model import (
    InstanceExists,
    InvalidInstance,
    InvalidParameters,
    StaleParameters,
    UnknownInstance,
    UnknownVersion,
)
from stellwerk.release.preparing import Faulty
from stellwerk.release.requiring import RequirementsNotMet

NOT_FOUND, INVALID, YAML = "not_found", "validation_error", "invalid_yaml"
KUBERNETES, RECONCILIATION = "kubernetes_error", "reconciliation_error"
NOT_SELECTED_S = 30.0
"""A server without a cluster gets one by a restart."""
_CODES = {"invalid": INVALID, "invalid_json": INVALID, "internal": "internal_error"}


class Refusal(msgspec.Struct, omit_defaults=True):
    """Every error."""

    error: str
    message: str
    details: dict[str, str] = {}
    operation: ShownOperation | UnsetType = UNSET
    """The operation that failed, whole."""


def invalid(message: str, details: Mapping[str, str] | None = None, code: str = INVALID) -> Problem:
    """Refuse values that do not fit."""
    return Problem(400, code, message, fields={"details": details or {}})


def not_found(message: str) -> Problem:
    """Say that there is no such thing."""
    return Problem(404, NOT_FOUND, message)


def kubernetes(message: str, retry_after_s: float) -> Problem:
    """Say that the cluster is away; the same may work later."""
    return Problem(503, KUBERNETES, message, {"retry-after": whole_seconds(retry_after_s)})


def faults_by_place(faults: Iterable[Fault]) -> dict[str, str]:
    """Return what is wrong, and what would help, by file and line."""
    found: dict[str, str] = {}
    for fault in faults:
        where = fault.file if fault.line is None else f"{fault.file}:{fault.line}"
        said = f"{fault.message} ({fault.advice})" if fault.advice else fault.message
        found[where] = f"{found[where]}; {said}" if where in found else said
    return found


def _faulty(error: Faulty) -> Problem:
    code = YAML if all(fault.malformed for fault in error.faults) else INVALID
    count = len(error.faults)
    message = f"{count} fault{'s' if count > 1 else ''} in the manifests; nothing was changed"
    return invalid(message, faults_by_place(error.faults), code)


def _not_met(error: RequirementsNotMet) -> Problem:
    details = {one.requirement.name: one.message for one in error.judged}
    return Problem(409, "requirements_not_met", str(error), fields={"details": details})


def _refused(error: Refused) -> Problem:
    return Problem(
        500,
        RECONCILIATION,
        "The cluster refuses",
        fields={"details": {"error": str(error), "reason": error.reason}},
    )


TABLE: dict[type[Exception], Callable[[Any], Problem]] = {
    UnknownServices: lambda error: invalid(str(error), error.unknown),
    NothingDescribed: lambda error: invalid(str(error), code="no_manifests"),
    Faulty: _faulty,
    RequirementsNotMet: _not_met,
    UnknownManifest: lambda error: not_found(str(error)),
    UnfitOverride: lambda error: invalid(str(error)),
    UnknownWorkload: lambda error: not_found(str(error)),
    InvalidInstance: lambda error: invalid(str(error), code="invalid_name"),
    UnknownInstance: lambda error: not_found(str(error)),
    UnknownVersion: lambda error: not_found(str(error)),
    UnknownOperation: lambda error: not_found(f"There is no operation {error}"),
    UnknownRevision: lambda error: not_found(str(error)),
    InvalidParameters: lambda error: invalid(
        "The parameters are not as their schema wants them; nothing was changed",
        {one.path: one.message for one in error.violations},
    ),
    InstanceExists: lambda error: Problem.conflict(str(error), "already_exists"),
    StaleParameters: lambda error: Problem(
        412, "precondition_failed", str(error), {"etag": f'"{error.etag}"'} if error.etag else {}
    ),
    Vetoed: lambda error: Problem.forbidden(str(error), "vetoed"),
    Busy: lambda error: Problem(
        409, "operation_in_progress", str(error), fields={"details": {"operation": error.operation}}
    ),
    UnknownCursor: lambda error: not_found(str(error)),
    Unreadable: lambda error: Problem(500, RECONCILIATION, str(error)),
    InventoryUnreadable: lambda error: Problem(500, RECONCILIATION, str(error)),
    NotSelected: lambda error: kubernetes(str(error), NOT_SELECTED_S),
    ClusterUnavailable: lambda error: kubernetes(error.detail, error.retry_after_s),
    Refused: _refused,
    Conflict: lambda error: Problem(500, RECONCILIATION, str(error)),
    UnknownKind: lambda error: Problem(500, RECONCILIATION, str(error)),
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
    details = dict(problem.fields.get("details", {}))
    if problem.code == "internal":
        details["requestId"] = request_id
    body = Refusal(
        _CODES.get(problem.code, problem.code),
        problem.detail,
        details,
        problem.fields.get("operation", UNSET),
    )
    return 400 if problem.status == 422 else problem.status, headers, msgspec.json.encode(body)
