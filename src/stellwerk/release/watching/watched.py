"""One application instance as it is watched: what it owns, and how each object of that is.

Healthy objects are judged again only when something about them changed. Of the others some get certain with
time alone (a reference that stays missing), so they are judged once a second at first, then seldom.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.release.clusters.cluster import Changed, Cluster
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.health import MISSING, Health, health
from stellwerk.release.inventory import Entry, Inventory
from stellwerk.release.objects import Body, Key
from stellwerk.release.observing import explained
from stellwerk.release.ownership import Identity
from stellwerk.release.reasons import Reason
from stellwerk.release.watching.feed import Feed
from stellwerk.release.watching.holdings import Holdings

SOON_S, SELDOM_S = 1.0, 30.0
"""Between looks at an object that is not well although nothing about it changed."""
YOUNG_S = 60.0
"""So long that is looked at soon: what becomes certain with time does within twenty seconds."""
AWAY_S = 10.0
"""Until the last known health counts as unknown because the cluster is away: a restart takes less."""
AT_ONCE = 16
"""Logs and single objects that are read together."""

UNSEEN = Health("unknown", "nobody has looked yet")


@dataclass(frozen=True, slots=True)
class Judged:
    """How an owned object is, and for how long."""

    health: Health
    since_us: int
    """Since it is well, or is not well for this reason."""
    unwell_us: int = 0
    """Since it is not well, for whatever reason; 0 while it is."""


class Watched:
    """One application instance; see the module. All methods belong to the event loop."""

    def __init__(self, cluster: Cluster, clock: Clock, identity: Identity, moved: Callable[[], None]) -> None:
        self.identity = identity
        self.namespace = ""
        """Where the inventory is."""
        self.inventory = Inventory(serial=-1)
        self.holdings = Holdings()
        self.judged: dict[Key, Judged] = {}
        self._cluster = cluster
        self._clock = clock
        self._moved = moved
        self.feed = Feed(cluster, self.holdings.take, self._wake)
        self._due: dict[Key, float] = {}
        self._logs: dict[tuple[Key, str, str], Reason] = {}

    def own(self, inventory: Inventory, namespace: str) -> None:
        """Watch what is owned now."""
        self.inventory, self.namespace = inventory, namespace
        self.holdings.own(inventory.entries)
        for key in self.judged.keys() - inventory.entries.keys():
            del self.judged[key]
            self._due.pop(key, None)
        self.feed.follow(self.identity, inventory.entries)

    def health_of(self, key: Key) -> Health:
        """Return how an owned object is, as far as that is known now."""
        judged = self.judged.get(key)
        if judged is None:
            return UNSEEN
        return self.away() or judged.health

    def is_visible(self, key: Key) -> bool:
        """Tell whether we may watch an owned object, as far as that is known."""
        return not self.feed.refusal(key, self.inventory.entries[key])

    def away(self) -> Health | None:
        """Return what every object's health is while the cluster is away; None while it is there."""
        lost_s = self.feed.lost_for_s
        if lost_s is None or lost_s < AWAY_S:
            return None
        return Health("unknown", f"the cluster cannot be reached for {lost_s:.0f} s")

    def due_in_s(self) -> float | None:
        """Return when something has to be judged although nothing changed; None if nothing has."""
        if not self._due:
            return None
        return max(0.0, min(self._due.values()) - asyncio.get_running_loop().time())

    async def judge(self) -> set[Key]:
        """Judge what may have changed; return what is not as it was."""
        now = asyncio.get_running_loop().time()
        keys = self.holdings.dirty | {key for key, at in self._due.items() if at <= now}
        self.holdings.dirty.clear()
        changed = set()
        for batch in _batches(sorted(keys & self.holdings.entries.keys())):
            for key, found in await asyncio.gather(*map(self._judge, batch)):
                if found is None:
                    self.holdings.dirty.add(key)  # until its watch has told what is there
                elif self._note(key, found):
                    changed.add(key)
        return changed

    async def stop(self) -> None:
        """End watching; may be called more than once."""
        await self.feed.stop()

    def _wake(self) -> None:
        """Ask for a turn, unless what a watch told is about somebody else."""
        if self.holdings.dirty or self.holdings.warnings:
            self._moved()

    async def _judge(self, key: Key) -> tuple[Key, Health | None]:
        entry = self.holdings.entries[key]
        if refusal := self.feed.refusal(key, entry):
            return key, Health("unknown", f"not visible: {refusal}")
        body = self.holdings.table.get(key)
        if body is None and not self.feed.listed(key, entry):
            return key, None
        if body is None and (body := await self._hidden(key, entry)) is None:
            return key, MISSING
        found = health(body, self.holdings.table.related(body, self.now()))
        return key, await self._with_log(found)

    async def _hidden(self, key: Key, entry: Entry) -> Body | None:
        """Look for an object that no watch tells of: one that lost our marks is there all the same."""
        try:
            body = await self._cluster.get(key, version=entry.api_version.rpartition("/")[2] or None)
        except ClusterError:
            return None
        if body is not None:
            self.holdings.take(Changed("added", body))
            self.holdings.dirty.discard(key)
        return body

    async def _with_log(self, found: Health) -> Health:
        """Add the last words of a container; read once for each of its runs."""
        reason = found.reason
        if reason is None or reason.log is None or not reason.certain:
            return found
        place = (reason.object, reason.code, reason.message)
        if place not in self._logs:
            if len(self._logs) >= 1_000:
                self._logs.clear()
            self._logs[place] = await explained(self._cluster, reason)
        said = self._logs[place]
        return Health(found.status, found.message.replace(str(reason), str(said)), said)

    def _note(self, key: Key, found: Health) -> bool:
        now_us, known = self._clock.now_us(), self.judged.get(key)
        well = found.status in ("healthy", "suspended", "unknown")
        same = known is not None and _essence(known.health) == _essence(found)
        since_us = known.since_us if known is not None and same else now_us
        unwell_us = 0 if well else (known.unwell_us if known is not None and known.unwell_us else now_us)
        self.judged[key] = Judged(found, since_us, unwell_us)
        if well and found.status != "unknown":
            self._due.pop(key, None)
        else:
            young = now_us - since_us < YOUNG_S * MICROSECONDS
            pause_s = SOON_S if young and not well else SELDOM_S
            self._due[key] = asyncio.get_running_loop().time() + pause_s
        return known is None or known.health != found

    def now(self) -> datetime:
        """Return the time by which health is judged."""
        return datetime.fromtimestamp(self._clock.now_us() / MICROSECONDS, UTC)


def _essence(found: Health) -> tuple[str, str]:
    return found.status, found.reason.code if found.reason else ""


def _batches(keys: Collection[Key]) -> list[list[Key]]:
    listed = list(keys)
    return [listed[start : start + AT_ONCE] for start in range(0, len(listed), AT_ONCE)]
