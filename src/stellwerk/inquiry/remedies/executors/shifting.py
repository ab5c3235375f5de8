"""Remedies that shift traffic between the versions of an agent."""

from stellwerk.fleet.errors import InvalidWeight, OwnedByAnother, UnknownAgent, UnknownVersion
from stellwerk.fleet.service import Fleet
from stellwerk.inquiry.remedies.executors.executor import Order, Performed
from stellwerk.inquiry.remedies.remedy import CannotRemedy
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope


class Shifting:
    """Sets weights; the same again changes nothing."""

    requires: Scope | None = Scope.FLEET_ADMIN

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def preview(self, order: Order) -> tuple[str, ...]:
        """Say which weights would be set."""
        return tuple(
            f"agent {order.parameters['agent']}: weight of {version} → {weight}"
            for version, weight in order.parameters["weights"].items()
        )

    async def perform(self, order: Order) -> Performed:
        """Set them, all or none. Raises CannotRemedy."""
        principal = Principal(order.by, order.by, frozenset({Scope.FLEET_ADMIN}))
        try:
            await self._fleet.set_weights(principal, order.parameters["agent"], order.parameters["weights"])
        except (InvalidWeight, OwnedByAnother, UnknownAgent, UnknownVersion) as error:
            raise CannotRemedy("refused", str(error) or type(error).__name__) from error
        return Performed("weights set")
