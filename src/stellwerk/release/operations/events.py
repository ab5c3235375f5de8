"""What operations tell the journal. `type` is the wire's: error, success, info or warning."""

from typing import Any

import msgspec

from stellwerk.journal.event import Event, Retention
from stellwerk.release.objects import Key
from stellwerk.release.operations.record import ObjectResult, ObjectStatus, Operation, OperationState

_ENDS = {
    OperationState.SUCCEEDED: ("success", "Reconciliation complete"),
    OperationState.FAILED: ("error", "Reconciliation failed"),
    OperationState.CANCELLED: ("warning", "Reconciliation cancelled"),
    OperationState.INTERRUPTED: ("error", "Reconciliation interrupted"),
}
_OBJECTS = {
    ObjectStatus.APPLIED: ("object.applied", "success", "Successfully applied manifest"),
    ObjectStatus.HEALTHY: ("object.healthy", "success", "Object is healthy"),
    ObjectStatus.DELETED: ("object.deleted", "success", "Successfully deleted resource"),
    ObjectStatus.FAILED: ("object.failed", "error", "Failed"),
}


def requested(operation: Operation) -> Event:
    """Say that somebody asked for an operation; kept as long as an audit entry."""
    return _event(operation, "operation.requested", "info", "Reconciliation requested", audit=True)


def started(operation: Operation) -> Event:
    """Say that an operation begins, or goes on after a restart."""
    again = operation.attempt > 1
    return _event(
        operation,
        "operation.started",
        "info",
        "Reconciliation resumed" if again else "Reconciliation started",
    )


def finished(operation: Operation) -> Event:
    """Say how an operation ended."""
    kind, message = _ENDS[operation.state]
    failure = operation.failure
    more: dict[str, Any] = {
        "total": len(operation.objects),
        "failed": sum(one.status is ObjectStatus.FAILED for one in operation.objects),
        "deleted": sum(one.status is ObjectStatus.DELETED for one in operation.objects),
        "release": operation.release,
    }
    error = ": ".join(filter(None, (failure.error, failure.message))) if failure else None
    resource = failure.resource if failure else None
    return _event(operation, "operation.finished", kind, message, key=resource, error=error, **more)


def happened(operation: Operation, result: ObjectResult) -> Event | None:
    """Say what became of an object; None where there is nothing to tell."""
    told = _OBJECTS.get(result.status)
    if told is None:
        return None
    kind, level, message = told
    error = (result.reason or result.message) if level == "error" else None
    details: dict[str, Any] = {"action": result.action, "service": result.service}
    if error:
        message, details = result.message or message, details | {"reason": result.reason}
    return _event(operation, kind, level, message, key=result.key, error=error, **details)


def _event(
    operation: Operation,
    kind: str,
    level: str,
    message: str,
    *,
    key: Key | None = None,
    error: str | None = None,
    audit: bool = False,
    **more: Any,
) -> Event:
    details = {"operation": operation.kind.value, "operationId": operation.id, "instance": operation.instance}
    data: dict[str, Any] = {"type": level, "message": message, "details": details | more}
    if key is not None:
        data["resourceKey"] = str(key)
    if error:
        data["error"] = error
    return Event(
        f"deploy.{kind}",
        Retention.AUDIT if audit else Retention.TASK,
        group=None if key is None else str(key),
        principal=operation.by,
        application=operation.application,
        data=msgspec.json.encode(data).decode(),
    )
