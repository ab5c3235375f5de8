"""Which instance a call goes to: plain functions over what is known of an agent."""

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from stellwerk.fleet.model import BASE_URL, AgentView, Condition, InstanceView, Presence, VersionView
from stellwerk.traffic.sticking import stick
from stellwerk.traffic.weights import Share, standing

NOBODY: frozenset[str] = frozenset()


class Place(msgspec.Struct, frozen=True, gc=False):
    """An instance that can be called."""

    instance: str
    address: str
    """Base URL, without a slash at its end."""
    registered_at: int


class Choice(msgspec.Struct, frozen=True, gc=False):
    """Where a call goes."""

    version: str
    place: Place


class Route(msgspec.Struct, frozen=True, gc=False):
    """What decides about the way of a call."""

    versions: frozenset[str]
    """The versions that have the function."""
    pin: str | None = None
    session: str | None = None
    """None also where the agent's sessions do not stick."""
    excluded: frozenset[str] = NOBODY
    """Instances that this call was sent to in vain."""


class Roster(msgspec.Struct, frozen=True):
    """An agent as routing sees it, for as long as nothing changes."""

    versions: Sequence[VersionView]
    places: Mapping[str, tuple[Place, ...]]
    """By version; only versions that can be called."""


def make_roster(view: AgentView, blocked: Collection[str]) -> Roster:
    """Sort out whom calls may go to; `blocked` are instances that could not be dialled or are leaving.

    Late instances stand in for a version that has no punctual one, and where nobody is well those that call
    themselves degraded are better than none.
    """
    tiers: list[dict[str, list[Place]]] = [{}, {}, {}]
    for one in view.instances:
        tier = _tier(one)
        address = one.endpoints.get(BASE_URL)
        if tier is not None and address is not None and one.instance not in blocked:
            tiers[tier].setdefault(one.version, []).append(Place(one.instance, address, one.registered_at))
    punctual, late, degraded = tiers
    able = {**late, **punctual} or degraded
    return Roster(view.versions, {version: tuple(places) for version, places in able.items()})


def shares_for(roster: Roster, route: Route) -> list[Share]:
    """Return the versions in rotation for a call, without those that it was sent to in vain."""
    healthy = {
        version
        for version, places in roster.places.items()
        if version in route.versions
        and (not route.excluded or any(place.instance not in route.excluded for place in places))
    }
    return standing(roster.versions, healthy)


def choose_place(places: Sequence[Place], route: Route, load: Callable[[str], int], turn: int) -> Place:
    """Choose among the instances of a version: where the session sticks, else the least busy one.

    `load` tells how many calls an instance has; `turn` grows with every choice and breaks ties. There is
    at least one that is not excluded.
    """
    able = [place for place in places if place.instance not in route.excluded]
    if len(able) == 1:
        return able[0]
    if route.session is not None:
        instance = stick(route.session, [(place.instance, 1) for place in able])
        return next(place for place in able if place.instance == instance)
    first = turn % len(able)
    return min((*able[first:], *able[:first]), key=lambda place: load(place.instance))


def _tier(one: InstanceView) -> int | None:
    if one.presence is Presence.OFFLINE:
        return None
    match one.condition:
        case Condition.ACTIVE | Condition.BUSY:
            return 0 if one.presence is Presence.ONLINE else 1
        case Condition.ERROR:
            return 2
        case Condition.INACTIVE | Condition.MAINTENANCE:
            return None
