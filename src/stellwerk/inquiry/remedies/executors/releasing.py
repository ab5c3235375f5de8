"""Remedies that are operations of the release subject: roll back, deploy again, change parameters.

The operation's note carries the order's id, so that an order that was cut off finds the operation that it has
begun, and waits for it instead of beginning another.
"""

from collections.abc import Mapping
from typing import Any

from stellwerk.inquiry.keys import key_of
from stellwerk.inquiry.remedies.executors.executor import Order, Performed
from stellwerk.inquiry.remedies.executors.ownership import Owned, owner
from stellwerk.inquiry.remedies.remedy import CannotRemedy
from stellwerk.release.application.application import UnknownServices
from stellwerk.release.choosing import NothingDescribed
from stellwerk.release.deploying import Deployer, Wish
from stellwerk.release.inventory import InventoryUnreadable
from stellwerk.release.operations.record import (
    Operation,
    OperationKind,
    OperationState,
    UnknownRevision,
    Unreadable,
)
from stellwerk.release.parameters.model import InvalidParameters, UnknownInstance
from stellwerk.release.preparing import Faulty
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

WAIT_S = 900.0
"""An operation has its own deadline, of minutes; past this somebody has to look."""
_KINDS = {
    "release.rollback": OperationKind.ROLLBACK,
    "release.redeploy": OperationKind.UP,
    "release.parameters": OperationKind.UPDATE,
}
_REFUSED = (
    UnknownServices,
    NothingDescribed,
    InventoryUnreadable,
    UnknownRevision,
    Unreadable,
    InvalidParameters,
    UnknownInstance,
    Faulty,
)


class Releasing:
    """See the module."""

    requires: Scope | None = Scope.SERVICES_DEPLOY

    def __init__(self, deployer: Deployer) -> None:
        self._deployer = deployer

    async def preview(self, order: Order) -> tuple[str, ...]:
        """Say what the operation would do. Raises CannotRemedy."""
        owned = await self._owner(order)
        if order.executor == "release.parameters":
            names = ", ".join(sorted(_values(order)))
            return (f"merge {names} into the parameters of {owned.instance}", f"deploy {owned.service}")
        try:
            plan = await self._deployer.preview(_wish(order, owned))
        except _REFUSED as error:
            raise CannotRemedy("refused", str(error)) from error
        steps = [step for wave in (*plan.waves, *plan.removals) for step in wave]
        return tuple(
            f"{step.action} {step.key}: {', '.join(one.path for one in step.changes) or step.message}".rstrip(
                ": "
            )
            for step in steps
        )

    async def perform(self, order: Order) -> Performed:
        """Begin the operation, or find the one that was begun, and wait for its end. Raises CannotRemedy."""
        owned = await self._owner(order)
        operation = await self._begun(order, owned) or await self._begin(order, owned)
        ended = await self._deployer.operations.wait(operation.id, WAIT_S)
        worked = ended.state is OperationState.SUCCEEDED
        why = "" if ended.failure is None else f": {ended.failure.message or ended.failure.error}"
        return Performed(f"{ended.kind} of {owned.service} {ended.state}{why}", ended.id, worked)

    async def _begin(self, order: Order, owned: Owned) -> Operation:
        try:
            if order.executor == "release.parameters":
                principal = Principal(order.by, order.by, frozenset({Scope.PARAMETERS_WRITE}))
                await self._deployer.parameters.patch(
                    owned.instance, _values(order), principal=principal, why=order.why
                )
            return await self._deployer.begin(_wish(order, owned))
        except _REFUSED as error:
            raise CannotRemedy("refused", str(error)) from error

    async def _begun(self, order: Order, owned: Owned) -> Operation | None:
        operations = await self._deployer.operations.list(self._deployer.identity(owned.instance))
        return next((one for one in operations if order.id in one.note), None)

    async def _owner(self, order: Order) -> Owned:
        live = await self._deployer.cluster.get(key_of(order.target))
        owned = await owner(self._deployer, order.target, live)
        if owned is None:
            raise CannotRemedy("not_managed", f"{order.target} was not deployed by Stellwerk")
        return owned


def _wish(order: Order, owned: Owned) -> Wish:
    note = f"remedy {order.id}: {order.why}"
    return Wish(_KINDS[order.executor], order.by, (owned.service,), owned.instance, note=note)


def _values(order: Order) -> Mapping[str, Any]:
    values: Mapping[str, Any] = order.parameters["values"]
    return values
