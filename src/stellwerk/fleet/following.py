"""Following other replicas: what they change arrives by the journal, what they only heard by looking.

Events name a group, and the group is read back from the database: an event says *look here*, never *what*. So
events may repeat, come late or concern one's own changes without harm. Who was heard, and with what load, is
no event; that is read every few seconds for the sake of those who look at this replica. Presence is decided
by the database (see `silence`), so a stale time here marks nobody.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.fleet.health import health_score
from stellwerk.fleet.model import AgentView, InstanceView, Presence
from stellwerk.fleet.presence import Paces, PresenceRules, project
from stellwerk.fleet.registry import Registry
from stellwerk.fleet.reporting import Reporting
from stellwerk.fleet.reports import Heard, heard_since
from stellwerk.fleet.store import READ_AT_ONCE, load_some
from stellwerk.fleet.turns import Turns

LOOK_S = 5.0
"""How often others' heartbeats are read: a sixth of the usual interval, so that shown times are hardly older
than usual."""
_OVERLAP_US = 3 * MICROSECONDS
"""Batches are written up to a second late, by clocks that differ a little."""

_LOOP_SHARE = 250
"""Rows taken over before others get the loop: about a millisecond."""


class Following:
    """Reads back what other replicas wrote."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        paces: Paces,
        *,
        registry: Registry,
        reporting: Reporting,
        turns: Turns,
    ) -> None:
        self._database = database
        self._clock = clock
        self._paces = paces
        self._registry = registry
        self._reporting = reporting
        self._turns = turns

    async def reread(self, groups: Sequence[str]) -> None:
        """Bring some groups up to what the database has. Raises DatabaseUnavailable."""
        for start in range(0, len(groups), READ_AT_ONCE):
            await self._reread_some(groups[start : start + READ_AT_ONCE])

    async def look(self) -> None:
        """Take over what other replicas heard lately. Raises DatabaseUnavailable."""
        since = self._clock.now_us() - int(LOOK_S * MICROSECONDS) - _OVERLAP_US
        for number, heard in enumerate(await self._database.read(partial(heard_since, since)), 1):
            self._take_over(heard)
            if number % _LOOP_SHARE == 0:
                await asyncio.sleep(0)

    async def _reread_some(self, groups: Sequence[str]) -> None:
        async with self._turns.of_all(groups):
            loaded = await self._database.read(partial(load_some, groups))
            revived: list[tuple[str, str]] = []
            for record, instances in loaded:
                before = self._registry.get(record.group)
                revived += [
                    (record.group, one.instance)
                    for one in instances
                    if self._heard_by_now(before, one, self._paces.of(record.joined_through))
                ]
                self._registry.apply(record, instances)
            for group in set(groups).difference(record.group for record, _ in loaded):
                self._registry.forget(group)
        for group, instance in revived:
            await self._reporting.bring_back(group, instance)

    def _heard_by_now(self, before: AgentView | None, one: InstanceView, rules: PresenceRules) -> bool:
        """Tell whether an instance that the database calls silent was heard by now, here or elsewhere."""
        if one.presence is Presence.ONLINE:
            return False
        mine = None if before is None else before.instance(one.instance)
        seen_at = one.seen_at if mine is None else max(one.seen_at, mine.seen_at)
        # the true silence counts here, not the grace after a start
        return project(seen_at, self._clock.now_us(), rules, 0) is Presence.ONLINE

    def _take_over(self, heard: Heard) -> None:
        view = self._registry.get(heard.group)
        one = None if view is None else view.instance(heard.instance)
        if view is None or one is None or heard.seen_at <= one.seen_at:
            return
        score = health_score(one.condition, one.presence, heard.load)
        newer = replace(one, seen_at=heard.seen_at, load=heard.load, health_score=score)
        self._registry.restate(view, newer, tell=score != one.health_score)


class Changed:
    """Groups that were announced and not yet read back: many announcements of one group are one read."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` is called after an announcement."""
        self._groups: dict[str, None] = {}
        self._wake = wake

    def announce(self, group: str) -> None:
        """Ask for a group to be read back."""
        self._groups[group] = None
        self._wake()

    def take(self) -> list[str]:
        """Take all that were announced."""
        groups, self._groups = list(self._groups), {}
        return groups
