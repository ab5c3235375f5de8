"""Forget processes that are gone: each start of an agent is an instance of its own, and they would pile up.

The last instance of a version stays, so that a version that is down keeps its functions, address and place.
"""

from collections.abc import Callable

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.fleet.errors import FleetRefused
from stellwerk.fleet.model import NODES, AgentView, Presence
from stellwerk.fleet.service import Fleet
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

LOOK_US = 60 * MICROSECONDS
OURSELVES = Principal("system", "system", frozenset({Scope.FLEET_ADMIN}))

_log = structlog.get_logger(__name__)


class Forgetting:
    """Removes instances that have been offline for long."""

    def __init__(self, fleet: Fleet, clock: Clock, after_s: float, busy: Callable[[str, str], int]) -> None:
        """`busy` counts the executions under way of an instance (group, instance)."""
        self._fleet = fleet
        self._clock = clock
        self._after_us = int(after_s * MICROSECONDS)
        self._busy = busy
        self._crowded: set[str] = set()
        self._looked_at = 0

    def changed(self, group: str) -> None:
        """Remember a group that may have something to forget."""
        view = self._fleet.get(group)
        if view is not None and forgettable(view, None):
            self._crowded.add(group)
        else:
            self._crowded.discard(group)

    async def turn(self) -> None:
        """Forget what is due; a look a minute is enough. Raises DatabaseUnavailable."""
        now_us = self._clock.now_us()
        if self._looked_at + LOOK_US > now_us:
            return
        self._looked_at = now_us
        for group in tuple(self._crowded):
            view = self._fleet.get(group)
            for instance in () if view is None else forgettable(view, now_us - self._after_us):
                if not self._busy(group, instance):
                    await self._forget(group, instance)

    async def _forget(self, group: str, instance: str) -> None:
        try:
            await self._fleet.remove(OURSELVES, group, instance)
        except FleetRefused as refused:
            _log.debug("an instance was gone already", agent=group, why=str(refused))


def forgettable(view: AgentView, before_us: int | None) -> list[str]:
    """Return the offline instances of a node that were last heard before an instant (None: whenever).

    All but the one of each version that was heard last, if no other instance of it lives.
    """
    if view.joined_through != NODES or len(view.instances) == 1:
        return []
    found, kept = [], set()
    for one in sorted(view.instances, key=lambda one: (one.presence is Presence.OFFLINE, -one.seen_at)):
        if one.presence is not Presence.OFFLINE or one.version not in kept:
            kept.add(one.version)
        elif before_us is None or one.seen_at < before_us:
            found.append(one.instance)
    return found
