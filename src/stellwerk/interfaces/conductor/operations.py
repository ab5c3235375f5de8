"""Routes about operations: list, show, follow, cancel."""

import msgspec

from stellwerk.http.operation import Answer, Call, Operation, Streaming
from stellwerk.http.sse import EVENT_STREAM, block, with_signs_of_life
from stellwerk.interfaces.conductor import rendering
from stellwerk.interfaces.conductor.wire import operations as wire
from stellwerk.release.deploying import Deployer
from stellwerk.release.operations.record import Operation as Record
from stellwerk.trust.scopes import Scope

TAG = "operations"
encode = msgspec.json.Encoder().encode


class OperationRoutes:
    """See the module."""

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/api/operations",
                handle=self.list,
                scope=Scope.SERVICES_READ,
                summary="List operations, newest first",
                tag=TAG,
                query=wire.OperationsQuery,
                gives=wire.ShownOperations,
            ),
            Operation(
                method="GET",
                path="/api/operations/{id}",
                handle=self.show,
                scope=Scope.SERVICES_READ,
                summary="Show an operation",
                tag=TAG,
                gives=wire.ShownOperation,
            ),
            Operation(
                method="GET",
                path="/api/operations/{id}/stream",
                handle=self.stream,
                scope=Scope.SERVICES_READ,
                summary="Follow an operation as server-sent events",
                description="An event `operation` with the whole operation at once and after every change;"
                " ends with it.",
                tag=TAG,
                gives=EVENT_STREAM,
            ),
            Operation(
                method="POST",
                path="/api/operations/{id}/cancel",
                handle=self.cancel,
                scope=Scope.SERVICES_DEPLOY,
                summary="Ask for the end of an operation; what it did until then stands",
                tag=TAG,
                gives=wire.ShownOperation,
            ),
        ]

    async def list(self, call: Call[None, wire.OperationsQuery]) -> Answer:
        identity = self._deployer.identity(call.query.instance)
        found = await self._deployer.operations.list(identity, call.query.limit)
        return wire.ShownOperations(operations=[rendering.operation(one) for one in found])

    async def show(self, call: Call[None, None]) -> Answer:
        return rendering.operation(await self._deployer.operations.get(call.path["id"]))

    async def stream(self, call: Call[None, None]) -> Answer:
        # Looked for here, so that an unknown one is refused before the stream begins.
        found = await self._deployer.operations.get(call.path["id"])
        changes = self._deployer.operations.follow(found.id)
        return Streaming(with_signs_of_life(changes, write), EVENT_STREAM)

    async def cancel(self, call: Call[None, None]) -> Answer:
        found = await self._deployer.operations.cancel(call.path["id"], call.principal.id)
        return rendering.operation(found)


def write(one: Record) -> bytes:
    """Write an operation as a server-sent event."""
    return block(encode(rendering.operation(one)), event="operation")
