"""Routes of executions: how they stand, what agents report of them, and an end before their time."""

from typing import Any

import msgspec

from stellwerk.http.endpoint import encode
from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw
from stellwerk.interfaces.nodes import rendering
from stellwerk.interfaces.nodes.wire import executions as wire
from stellwerk.interfaces.nodes.words import REPORTED
from stellwerk.traffic.execution import Report, Status
from stellwerk.traffic.refusals import ResultTooLarge, UnknownExecution
from stellwerk.traffic.service import Traffic
from stellwerk.trust.scopes import Scope

TAG = "executions"
NULL = b"null"


class ExecutionRoutes:
    """See the module."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/api/v1/executions/{execution_id}",
                handle=self.get,
                scope=Scope.TASKS_READ,
                summary="Show how an execution stands",
                tag=TAG,
                gives=wire.ExecutionStatus,
            ),
            Operation(
                method="POST",
                path="/api/v1/executions/batch-status",
                handle=self.batch_status,
                scope=Scope.TASKS_READ,
                summary="Show how several executions stand; those that are unknown are left out",
                tag=TAG,
                takes=wire.BatchStatus,
                gives=dict[str, wire.ExecutionStatus],
            ),
            Operation(
                method="POST",
                path="/api/v1/executions/{execution_id}/status",
                handle=self.report,
                scope=Scope.FLEET_WRITE,
                summary="Report the end of an execution, as the agent that was given it",
                tag=TAG,
                takes=wire.StatusReport,
                gives=wire.ExecutionStatus,
                refuses=(409,),
            ),
            Operation(
                method="POST",
                path="/api/v1/executions/{execution_id}/cancel",
                handle=self.cancel,
                scope=Scope.TASKS_SUBMIT,
                summary="Cancel an execution",
                tag=TAG,
                takes=wire.Cancel,
                body_required=False,
                gives=wire.Cancelled,
                refuses=(409,),
            ),
        ]

    async def get(self, call: Call[None, None]) -> Answer:
        one = await self._traffic.execution(call.path["execution_id"])
        if one is None:
            raise UnknownExecution(call.path["execution_id"])
        return Raw(encode(rendering.execution(one)), headers=rendering.headers(one))

    async def batch_status(self, call: Call[wire.BatchStatus, None]) -> Answer:
        found = await self._traffic.executions(list(dict.fromkeys(call.body.execution_ids)))
        return Raw(encode({name: rendering.execution(one) for name, one in found.items()}), JSON)

    async def report(self, call: Call[wire.StatusReport, None]) -> Answer:
        execution_id, report = call.path["execution_id"], report_of(call.body)
        try:
            reported = await self._traffic.report(call.principal, execution_id, report)
        except ResultTooLarge as too_large:
            # The agent will not come back with less; its caller must not wait until the time is over.
            refused = Report(status=Status.FAILED, error=str(too_large), error_status=413)
            await self._traffic.report(call.principal, execution_id, refused)
            raise
        one = reported.execution
        return Raw(encode(rendering.execution(one)), headers=rendering.headers(one))

    async def cancel(self, call: Call[wire.Cancel | None, None]) -> Answer:
        one = await self._traffic.cancel(call.principal, call.path["execution_id"])
        body = wire.Cancelled(
            execution_id=one.id, status=one.status.value, cancelled=one.status is Status.CANCELLED
        )
        return Raw(encode(body), headers=rendering.headers(one))


def report_of(body: wire.StatusReport) -> Report:
    """Read an agent's report."""
    status = REPORTED[body.status]
    return Report(
        status=status,
        result=bytes(body.result).decode() if status is Status.SUCCEEDED else None,
        error=_error(body),
        error_details=None if bytes(body.error_details) == NULL else bytes(body.error_details).decode(),
        error_status=body.error_status_code,
    )


def _error(body: wire.StatusReport) -> str | None:
    error: Any = body.error
    if error is None or isinstance(error, str):
        return error or body.status_reason
    return msgspec.json.encode(error).decode()
