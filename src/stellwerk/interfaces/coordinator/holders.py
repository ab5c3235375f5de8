"""Agents as those who hold leases: who may speak for which."""

from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import AgentView, InstanceView
from stellwerk.fleet.service import Fleet
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.task import Holder


async def speaker(fleet: Fleet, principal: Principal, group: str, instance: str | None) -> Holder:
    """Return the holder that the principal speaks for. Raises UnknownAgent, OwnedByAnother."""
    view = fleet.get(group) or await fleet.get_fresh(group)
    if view is None:
        raise UnknownAgent(group)
    check_owner(view, principal)
    return Holder(group, instance_of(view, instance).instance)


def check_owner(view: AgentView, principal: Principal) -> None:
    """Refuse a principal that neither owns the agent nor administers the fleet. Raises OwnedByAnother."""
    if view.owner != principal.id and not principal.may(Scope.FLEET_ADMIN):
        raise OwnedByAnother(view.group)


def instance_of(view: AgentView, name: str | None) -> InstanceView:
    """Return the instance that is meant. Raises UnknownAgent."""
    instance = view.instance(name)
    if instance is None:
        raise UnknownAgent(view.group, name)
    return instance
