"""Agents as those who hold leases: who may speak for which, and their seats."""

from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import AgentView, InstanceView
from stellwerk.fleet.service import Fleet
from stellwerk.interfaces.coordinator.words import JOINED_THROUGH
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.offering import accepts, offer
from stellwerk.work.seats import Channel, Seat
from stellwerk.work.task import Holder

MOST_TASKS = 10_000
"""Largest capacity of one holder."""


async def speaker(fleet: Fleet, principal: Principal, group: str, instance: str | None) -> Holder:
    """Return the holder that the principal speaks for. Raises UnknownAgent, OwnedByAnother."""
    view = await fleet.get_with(group, instance=instance)
    if view is None:
        raise UnknownAgent(group)
    check_owner(view, principal)
    return Holder(group, instance_of(view, instance).instance)


def check_owner(view: AgentView, principal: Principal) -> None:
    """Refuse who neither owns the agent nor administers the fleet, and everybody for an agent that joined
    elsewhere. Raises OwnedByAnother.
    """
    if view.joined_through != JOINED_THROUGH:
        raise OwnedByAnother(view.group, f"it joined through {view.joined_through}")
    if view.owner != principal.id and not principal.may(Scope.FLEET_ADMIN):
        raise OwnedByAnother(view.group)


def instance_of(view: AgentView, name: str | None) -> InstanceView:
    """Return the instance that is meant. Raises UnknownAgent."""
    instance = view.instance(name)
    if instance is None:
        raise UnknownAgent(view.group, name)
    return instance


def seat_of(
    view: AgentView,
    instance: InstanceView,
    channel: Channel,
    *,
    default_capacity: int,
    capacity: int | None = None,
) -> Seat:
    """Make the seat of an instance; its capacity is what is given here, or what it registered with."""
    return Seat(
        holder=Holder(view.group, instance.instance),
        attributes=offer(view, instance),
        capacity=capacity or registered_capacity(instance) or default_capacity,
        channel=channel,
        accepting=accepts(instance),
        weight=instance.weight_hint,
        succeeded=instance.succeeded,
        failed=instance.failed,
        response_ms=instance.response_ms,
        load=instance.load,
    )


def registered_capacity(instance: InstanceView) -> int | None:
    """Return the concurrency that the instance registered with; None if it said nothing sensible."""
    given = instance.metadata.get("max_concurrency")
    return given if isinstance(given, int) and 1 <= given <= MOST_TASKS else None
