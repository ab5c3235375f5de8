"""The router: what routing knows of each agent, kept until something changes.

Theory of operation. The fleet tells when a group changed in a way that may matter; then its roster is made
anew at the next call. Pure heartbeats are not told, so a suspended instance is looked at again with each
call: a heartbeat after the suspension lifts it. Everything here is memory of one replica; each begins its
rotations at a phase of its own.
"""

import random
from collections.abc import Callable, Mapping

from stellwerk.fleet.model import AgentView
from stellwerk.settings import FunctionSettings
from stellwerk.traffic.functions import Function, functions_of
from stellwerk.traffic.refusals import NoVersion, UnknownVersion
from stellwerk.traffic.rotation import Rotation
from stellwerk.traffic.routing import Choice, Place, Roster, Route, choose_place, make_roster, shares_for
from stellwerk.traffic.sticking import stick
from stellwerk.traffic.weights import Share, all_off

ROTATIONS = 64
"""Rotations that one agent may have: one for every set of versions that have a function in common."""


class _Known:
    """What is kept of one group."""

    def __init__(self, view: AgentView, roster: Roster, functions: Mapping[str, Function]) -> None:
        self.view = view
        self.roster = roster
        self.functions = functions
        self.shares: dict[frozenset[str], list[Share]] = {}
        """In rotation, by the versions that have the function."""
        self.rotations: dict[frozenset[str], Rotation] = {}
        """Those whose weights are known to be right."""


class _Turns:
    """What outlives changes of a group."""

    def __init__(self) -> None:
        self.rotations: dict[frozenset[str], Rotation] = {}
        self.number = 0


class Router:
    """Chooses where calls go; see the module. All methods belong to the event loop."""

    def __init__(
        self,
        find: Callable[[str], AgentView | None],
        load: Callable[[str, str], int],
        declared: Mapping[str, FunctionSettings],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`find` looks a group up, `load` counts the calls under way of an instance (group, instance)."""
        self._find = find
        self._load = load
        self._declared = declared
        self._chance = chance
        self._known: dict[str, _Known] = {}
        self._turns: dict[str, _Turns] = {}
        self._suspended: dict[str, dict[str, int]] = {}
        """By group and instance: when it had last been heard when it was suspended."""
        self._listening: dict[str, set[str]] = {}
        """By group: the instances that were dialled with success."""

    def changed(self, group: str) -> None:
        """Look at a group afresh with its next call."""
        self._known.pop(group, None)
        if group in self._turns and self._find(group) is None:
            del self._turns[group]
            self._suspended.pop(group, None)
            self._listening.pop(group, None)

    def dialled(self, group: str, instance: str) -> None:
        """Note that an instance could be dialled."""
        self._listening.setdefault(group, set()).add(instance)

    def was_dialled(self, group: str, instance: str) -> bool:
        """Tell whether an instance could ever be dialled; one that could not may still be starting."""
        return instance in self._listening.get(group, ())

    def suspend(self, group: str, instance: str) -> None:
        """Send nothing to an instance until it is heard again: it could not be dialled."""
        view = self._find(group)
        one = next((one for one in view.instances if one.instance == instance), None) if view else None
        if one is not None:
            self._suspended.setdefault(group, {})[instance] = one.seen_at
            self._known.pop(group, None)

    def suspended(self, group: str) -> frozenset[str]:
        """Return the instances of a group that are sent nothing."""
        self._lift(group)
        return frozenset(self._suspended.get(group, ()))

    def functions(self, group: str) -> Mapping[str, Function]:
        """Return the functions of a group by name."""
        known = self._know(group)
        return {} if known is None else known.functions

    def roster(self, group: str) -> Roster | None:
        """Return a group as routing sees it; None if it is gone."""
        known = self._know(group)
        return None if known is None else known.roster

    def choose(self, group: str, route: Route) -> Choice:
        """Choose the instance for a call. Raises UnknownVersion, NoVersion."""
        known = self._know(group)
        if known is None:
            raise NoVersion(group, "unhealthy")
        version = route.pin or self._version(group, known, route)
        places = self._places(group, known, version, route)
        turns = self._turns[group]
        turns.number += 1
        place = choose_place(places, route, lambda instance: self._load(group, instance), turns.number)
        return Choice(version, place)

    def _version(self, group: str, known: _Known, route: Route) -> str:
        if route.excluded:
            shares = shares_for(known.roster, route)
        else:
            found = known.shares.get(route.versions)
            if found is None:
                found = known.shares[route.versions] = shares_for(known.roster, route)
            shares = found
        if not shares:
            able = [one for one in known.view.versions if one.version in route.versions]
            raise NoVersion(group, "off" if able and all_off(able) else "unhealthy")
        if len(shares) == 1:
            return shares[0].version
        if route.session is not None:
            return stick(route.session, [(share.version, share.weight) for share in shares])
        if route.excluded:
            # The rotation has had its turn; who is second best must not cost the others theirs.
            return max(shares, key=lambda share: share.weight).version
        rotation = known.rotations.get(route.versions)
        if rotation is None:
            rotation = known.rotations[route.versions] = self._rotation(group, route.versions, shares)
        return rotation.next()

    def _rotation(self, group: str, versions: frozenset[str], shares: list[Share]) -> Rotation:
        rotations = self._turns[group].rotations
        weights = {share.version: share.weight for share in shares}
        rotation = rotations.get(versions)
        if rotation is None:
            if len(rotations) >= ROTATIONS:
                rotations.pop(next(iter(rotations)))
            rotation = rotations[versions] = Rotation(weights, self._chance())
        elif rotation.weights != weights:
            rotation.change(weights, self._chance())
        return rotation

    def _places(self, group: str, known: _Known, version: str, route: Route) -> tuple[Place, ...]:
        places = known.roster.places.get(version, ())
        if route.pin is not None:
            if not any(one.version == version for one in known.view.versions):
                raise UnknownVersion(group, version)
            if version not in route.versions or all(place.instance in route.excluded for place in places):
                raise NoVersion(group, "pinned_unhealthy")
        return places

    def _know(self, group: str) -> _Known | None:
        if group in self._suspended:
            self._lift(group)
        known = self._known.get(group)
        if known is not None:
            return known
        view = self._find(group)
        if view is None:
            return None
        roster = make_roster(view, self._suspended.get(group, ()))
        known = self._known[group] = _Known(view, roster, functions_of(view, self._declared))
        if group in self._listening:
            self._listening[group].intersection_update(one.instance for one in view.instances)
        self._turns.setdefault(group, _Turns())
        return known

    def _lift(self, group: str) -> None:
        suspended, view = self._suspended.get(group), self._find(group)
        if suspended is None:
            return
        seen = {} if view is None else {one.instance: one.seen_at for one in view.instances}
        still = {
            instance: since for instance, since in suspended.items() if seen.get(instance, since + 1) <= since
        }
        if len(still) != len(suspended):
            self._known.pop(group, None)
            if still:
                self._suspended[group] = still
            else:
                del self._suspended[group]
