"""What becomes of objects, and why an operation ends early: results and failures as they are recorded."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable, Conflict, NotSelected, Refused
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.objects import Key
from stellwerk.release.operations.record import (
    Failure,
    ObjectResult,
    ObjectStatus,
    OperationState,
    Unreadable,
)
from stellwerk.release.operations.settling import Standing
from stellwerk.release.plan import Action, Step

RECONCILIATION: Final = "reconciliation_error"
CLUSTER: Final = "kubernetes_error"


class Stopped(Exception):
    """Ends a run before its end, with a failure; None if somebody cancelled it."""

    def __init__(self, failure: Failure | None) -> None:
        super().__init__(failure)
        self.failure = failure


def end_of(
    error: Stopped | ClusterError | Unreadable | InventoryUnreadable,
) -> tuple[OperationState, Failure | None]:
    """Return how an operation ends that meets this."""
    match error:
        case Stopped(failure=None):
            return OperationState.CANCELLED, None
        case Stopped(failure=failure):
            return OperationState.FAILED, failure
        case ClusterUnavailable():
            return OperationState.FAILED, _unavailable(error)
        case NotSelected():
            return OperationState.FAILED, Failure(code=CLUSTER, error=str(error))
        case ClusterError():
            return OperationState.FAILED, failure_of(error, None)
        case _:
            failure = Failure(code=RECONCILIATION, error="Unreadable", message=str(error))
            return OperationState.INTERRUPTED, failure


def result_of(step: Step, status: ObjectStatus) -> ObjectResult:
    """Return what is recorded of a step."""
    return ObjectResult(
        key=step.key, service=step.service, action=step.action.value, status=status, message=step.message
    )


def first_result_of(step: Step) -> ObjectResult:
    """Return what is recorded of a step before it is taken."""
    return result_of(step, ObjectStatus.KEPT if step.action is Action.KEEP else ObjectStatus.PENDING)


def refused_result(step: Step, error: ClusterError) -> ObjectResult:
    """Return what is recorded of a step that the cluster refuses."""
    return replace(result_of(step, ObjectStatus.FAILED), message=str(error), reason=_word(error))


def settled_result(known: ObjectResult, standing: Standing) -> ObjectResult:
    """Return what is recorded of an object that is like this now."""
    if standing.healthy:
        return replace(known, status=ObjectStatus.HEALTHY, message="", reason="")
    status = ObjectStatus.FAILED if standing.certain else known.status
    return replace(known, status=status, message=standing.message, reason=standing.reason)


def failure_of(error: BaseException, resource: Key | None) -> Failure:
    """Say that the cluster refuses an object."""
    return Failure(code=RECONCILIATION, error=str(error), message=_word(error), resource=resource)


def obstructed(step: Step) -> Failure:
    """Say what stands in the way of the whole operation."""
    return Failure(code=RECONCILIATION, error=step.message, message=step.action.value, resource=step.key)


def unhealthy(key: Key, standing: Standing) -> Failure:
    """Say that an object surely will not be healthy."""
    return Failure(code=RECONCILIATION, error=standing.reason, message=standing.message, resource=key)


def interrupted(message: str) -> Failure:
    """Say that an operation cannot go on."""
    return Failure(code=RECONCILIATION, error="Interrupted", message=message, certain=False)


def too_late(results: Iterable[ObjectResult], deadline_s: float) -> Failure:
    """Say what was not healthy in time."""
    for one in results:
        if one.status is ObjectStatus.APPLIED or (one.status is ObjectStatus.PENDING and one.message):
            message = f"not healthy within {deadline_s:g} s: {one.message}"
            error = one.reason or "Timeout"
            return Failure(code=RECONCILIATION, error=error, message=message, resource=one.key, certain=False)
    return Failure(code=RECONCILIATION, error="Timeout", message="not healthy in time", certain=False)


def not_gone(key: Key) -> Failure:
    """Say that an object was not gone in time."""
    message = "it is still being deleted: something holds it by a finalizer, or its pods do not end"
    return Failure(code=RECONCILIATION, error="Timeout", message=message, resource=key, certain=False)


def _word(error: BaseException) -> str:
    match error:
        case Refused():
            return error.reason
        case Conflict():
            return "conflict"
        case _:
            return type(error).__name__


def _unavailable(error: ClusterUnavailable) -> Failure:
    return Failure(
        code=CLUSTER,
        error=error.detail,
        message="the cluster cannot be reached, or fails",
        certain=False,
        retry_after_s=error.retry_after_s,
    )
