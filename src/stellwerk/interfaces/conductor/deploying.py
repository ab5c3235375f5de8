"""Routes that deploy: up, update, down, rollback, and the plan of each."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from stellwerk.http.operation import Answer, Call, Handle, Operation
from stellwerk.http.streaming import unless_gone
from stellwerk.interfaces.conductor import rendering
from stellwerk.interfaces.conductor.answering import answer_of
from stellwerk.interfaces.conductor.choices import Chosen
from stellwerk.interfaces.conductor.errors import invalid
from stellwerk.interfaces.conductor.wire import operations as wire
from stellwerk.release.deploying import Deployer, Wish
from stellwerk.release.operations.record import OperationKind
from stellwerk.settings import ConductorSettings
from stellwerk.trust.scopes import Scope

Asking = Call[Any, wire.Choices]
"""A request whose body, if it has one, is one of `Choices`."""
TAG = "deployment"
WAITS = (
    "Waits for the end, by default a minute: 200 is success, 500 `reconciliation_error` failure with the"
    " resource and its reason, 202 that it goes on. Nothing that the request does not name is touched. Safe"
    " to repeat."
)


class DeployRoutes:
    """See the module."""

    def __init__(self, deployer: Deployer, settings: ConductorSettings) -> None:
        self._deployer = deployer
        self._settings = settings

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            self._route("/api/up", self.up, wire.UpRequest, "Deploy services; all, where none is named"),
            self._route(
                "/api/update", self.update, wire.UpRequest, "Update services; all, where none is named"
            ),
            self._route("/api/down", self.down, wire.DownRequest, "Remove services"),
            self._route(
                "/api/rollback", self.rollback, wire.RollbackRequest, "Go back to an earlier release"
            ),
            Operation(
                method="POST",
                path="/api/plan",
                handle=self.plan,
                scope=Scope.SERVICES_READ,
                summary="Show what an operation would do, object by object and field by field",
                tag=TAG,
                takes=wire.PlanRequest,
                body_required=False,
                query=wire.Choices,
                gives=wire.ShownPlan,
                refuses=(404, 500),
            ),
        ]

    def _route(self, path: str, handle: Handle, takes: type, summary: str) -> Operation:
        return Operation(
            method="POST",
            path=path,
            handle=handle,
            scope=Scope.SERVICES_DEPLOY,
            summary=summary,
            description=WAITS,
            tag=TAG,
            takes=takes,
            body_required=False,
            query=wire.Choices,
            gives=wire.Deployed,
            also={202: wire.Deployed},
            refuses=(404, 409, 500),
        )

    async def up(self, call: Call[wire.UpRequest | None, wire.Choices]) -> Answer:
        return await self._deploy(OperationKind.UP, call, call.body.services if call.body else ())

    async def update(self, call: Call[wire.UpRequest | None, wire.Choices]) -> Answer:
        return await self._deploy(OperationKind.UPDATE, call, call.body.services if call.body else ())

    async def down(self, call: Call[wire.DownRequest | None, wire.Choices]) -> Answer:
        return await self._deploy(OperationKind.DOWN, call, _removed(call.body))

    async def rollback(self, call: Call[wire.RollbackRequest | None, wire.Choices]) -> Answer:
        body = call.body or wire.RollbackRequest()
        revision = None if body.revision is UNSET else body.revision
        return await self._deploy(OperationKind.ROLLBACK, call, body.services, revision)

    async def plan(self, call: Call[wire.PlanRequest | None, wire.Choices]) -> Answer:
        body = call.body or wire.PlanRequest()
        revision = None if body.revision is UNSET else body.revision
        chosen = Chosen(body, call.query, self._settings)
        wish = _wish(OperationKind(body.action), call, chosen, body.services, revision)
        return rendering.plan(await self._deployer.preview(wish), body.action, chosen.instance)

    async def _deploy(
        self,
        kind: OperationKind,
        call: Asking,
        services: Sequence[str],
        revision: int | None = None,
    ) -> Answer:
        chosen = Chosen(call.body, call.query, self._settings)
        wish = _wish(kind, call, chosen, services, revision)
        if chosen.dry_run:
            made = rendering.plan(await self._deployer.preview(wish), kind.value, chosen.instance)
            return wire.Deployed(message="Nothing was changed: this is what would be done", plan=made)
        operation = await self._deployer.begin(wish, on_busy=chosen.on_busy)
        if chosen.wait_s:
            waiting = self._deployer.operations.wait(operation.id, chosen.wait_s)
            operation = await unless_gone(call.receive, waiting)
        return answer_of(operation)


def _wish(
    kind: OperationKind,
    call: Asking,
    chosen: Chosen,
    services: Sequence[str],
    revision: int | None,
) -> Wish:
    return Wish(
        kind,
        call.principal.id,
        tuple(services),
        chosen.instance,
        chosen.options,
        revision,
        chosen.note,
    )


def _removed(body: wire.DownRequest | None) -> Sequence[str]:
    """Return which services go; of nothing said, none. Raises Problem."""
    named = UNSET if body is None else body.services
    everything = body is not None and body.all
    if named is UNSET and not everything:
        raise invalid(
            'Name the services to remove, or send {"services": []} or {"all": true} for all of them'
        )
    if everything and named:
        raise invalid("Send either `all`, or the services to remove")
    return () if named is UNSET else named
