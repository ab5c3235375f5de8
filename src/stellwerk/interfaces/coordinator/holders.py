"""Agents as those who hold leases: who may speak for which, and what an instance offers to the queue."""

from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import AgentView, Condition, InstanceView, Presence
from stellwerk.fleet.service import Fleet
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.matching import Attributes
from stellwerk.work.task import Holder

WILLING = frozenset({Condition.ACTIVE, Condition.BUSY})
"""Conditions in which an agent is given new tasks, as far as it has capacity."""


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


def offer(view: AgentView, instance: InstanceView) -> Attributes:
    """Say what an instance offers to the queue."""
    return Attributes(
        kind=view.kind,
        capabilities=frozenset(instance.capabilities),
        services=frozenset(instance.services),
        labels=frozenset(instance.labels.items()),
        health=instance.health_score,
    )


def accepts(instance: InstanceView) -> bool:
    """Tell whether an instance is given new tasks."""
    return instance.condition in WILLING and instance.presence is not Presence.OFFLINE
