"""How an operation is answered: its success, its failure, or that it goes on."""

import msgspec

from stellwerk.http.operation import Answer, Raw
from stellwerk.http.problem import Problem, whole_seconds
from stellwerk.interfaces.conductor import rendering
from stellwerk.interfaces.conductor.errors import KUBERNETES, RECONCILIATION
from stellwerk.interfaces.conductor.wire import operations as wire
from stellwerk.release.operations.record import Failure, Operation, OperationKind, OperationState

RETRY_S = 5.0
SUCCEEDED = {
    OperationKind.UP: "Successfully deployed all manifests",
    OperationKind.UPDATE: "Successfully updated all manifests",
    OperationKind.DOWN: "Successfully deleted all managed resources",
    OperationKind.ROLLBACK: "Successfully rolled back",
}
FAILED = {
    OperationKind.UP: "Deployment failed",
    OperationKind.UPDATE: "Update failed",
    OperationKind.DOWN: "Deletion failed",
    OperationKind.ROLLBACK: "Rollback failed",
}
encode = msgspec.json.Encoder().encode


def answer_of(operation: Operation) -> Answer:
    """Answer with the operation as it is. Raises Problem where it failed."""
    shown = rendering.operation(operation)
    if operation.state is OperationState.SUCCEEDED:
        return wire.Deployed(message=SUCCEEDED[operation.kind], operation=shown)
    if not operation.ended:
        where = f"/api/operations/{operation.id}"
        going = wire.Deployed(message=f"It goes on; see {where}", operation=shown)
        return Raw(encode(going), status=202, headers=((b"location", where.encode()),))
    raise _failed(operation, shown)


def _failed(operation: Operation, shown: wire.ShownOperation) -> Problem:
    failure = operation.failure or Failure(code=RECONCILIATION, error="Cancelled", message="it was cancelled")
    details = {"resource": str(failure.resource)} if failure.resource else {}
    details["error"] = failure.error
    if failure.message:
        details["message"] = failure.message
    details["operation"] = operation.id
    fields = {"details": details, "operation": shown}
    if failure.code == KUBERNETES:
        wait = {"retry-after": whole_seconds(failure.retry_after_s or RETRY_S)}
        return Problem(503, KUBERNETES, f"{FAILED[operation.kind]}: {failure.error}", wait, fields)
    return Problem(500, RECONCILIATION, FAILED[operation.kind], fields=fields)
