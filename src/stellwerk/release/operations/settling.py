"""Waiting until what was applied is healthy, or surely will not be.

Theory of operation. What applying an object gave is judged first: most kinds are well once they are there,
and nothing is watched for them. For the others the objects of their kind are watched, and where they run
programs the pods, ReplicaSets and events of their namespaces. Watches fill one table; after every change, and
once a second because some reasons are certain only after a time, everything is judged from the table. A watch
that is refused leaves its part of the table empty: less is known then, and nothing else happens.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.release.clusters.cluster import Changed, Cluster
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.clusters.kinds import kind_of
from stellwerk.release.health import Health, Related, health
from stellwerk.release.objects import Body, Key
from stellwerk.release.observing import Watch, explained, watches_around
from stellwerk.release.ownership import owner_of
from stellwerk.release.reasons import Reason
from stellwerk.release.table import ObjectTable, named

LOOK_S = 1.0
GATHER_S = 0.02
"""Changes come in bursts: a pod that starts makes five."""


class Standing(NamedTuple):
    """How an object is."""

    healthy: bool
    message: str = ""
    reason: str = ""
    """A word for programs: `ImagePullBackOff`; empty while nothing is known to be wrong."""
    certain: bool = False
    """Whether waiting will not help."""


class Settling:
    """Watches objects on behalf of operations."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock

    async def follow(self, objects: Mapping[Key, Body]) -> AsyncGenerator[Mapping[Key, Standing], None]:
        """Tell how the objects are: at once, after every change, and once a second, without end. Close it.

        The bodies are what applying them gave.
        """
        table, now = _Table(objects), self._now()
        found = {key: health(body, Related(now)) for key, body in objects.items()}
        unsettled = {key: objects[key] for key, one in found.items() if not _is_well(one)}
        yield {key: _standing(one) for key, one in found.items()}
        tasks = [asyncio.create_task(self._fill(table, watch)) for watch in _watches(unsettled)]
        logs: dict[tuple[Key, str], Reason] = {}
        try:
            while True:
                await table.changed(LOOK_S)
                judged = {key: await self._judge(key, table, logs) for key in unsettled}
                yield {key: _standing(one) for key, one in (found | judged).items()}
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _judge(self, key: Key, table: "_Table", logs: dict[tuple[Key, str], Reason]) -> Health:
        body, now = table.get(key), self._now()
        if body is None:
            return health(None, Related(now))
        found = health(body, table.around(body, now))
        if found.reason is None or found.reason.log is None or not found.reason.certain:
            return found
        place = (found.reason.object, found.reason.code)
        if place not in logs:
            logs[place] = await explained(self._cluster, found.reason)
        reason = logs[place]
        return Health(found.status, str(reason), reason)

    async def _fill(self, table: "_Table", watch: Watch) -> None:
        """Keep a part of the table; ends where the cluster does not let us watch."""
        labels = dict(watch.labels) or None
        with contextlib.suppress(ClusterError):
            changes = self._cluster.watch(watch.kind, namespace=watch.namespace or None, labels=labels)
            async with contextlib.aclosing(changes):
                async for change in changes:
                    table.take(change)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / MICROSECONDS, UTC)


class _Table:
    """Objects as watches last told them."""

    def __init__(self, objects: Mapping[Key, Body]) -> None:
        self._objects = ObjectTable(objects.values())
        self._news = asyncio.Event()

    def take(self, change: Changed) -> None:
        """Note a change. What is older than what we know is left out: a list may lag behind an apply."""
        if not change.object:
            return
        key = named(change.object)
        if change.type == "deleted":
            self._objects.drop(key)
        elif not _is_older(change.object, self._objects.get(key)):
            self._objects.put(change.object)
        self._news.set()

    def get(self, key: Key) -> Body | None:
        """Return an object; None if it is gone."""
        return self._objects.get(key)

    def around(self, body: Body, now: datetime) -> Related:
        """Return what is known around an object."""
        return self._objects.related(body, now)

    async def changed(self, at_most_s: float) -> None:
        """Wait for news, and a little for more of them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                await self._news.wait()
                await asyncio.sleep(GATHER_S)
        self._news.clear()


def _watches(objects: Mapping[Key, Body]) -> set[Watch]:
    found = set()
    for key, body in objects.items():
        owner = owner_of(body)
        labels = tuple(sorted(owner.identity.labels().items())) if owner else ()
        found |= {Watch(kind_of(body), key.namespace, labels), *watches_around(key)}
    return found


def _is_older(body: Body, known: Body | None) -> bool:
    if known is None or known["metadata"].get("uid") != body["metadata"].get("uid"):
        return False
    return int(body["metadata"].get("generation") or 0) < int(known["metadata"].get("generation") or 0)


def _is_well(found: Health) -> bool:
    return found.status in ("healthy", "suspended")


def _standing(found: Health) -> Standing:
    reason = found.reason
    if reason is None:
        return Standing(_is_well(found), found.message)
    return Standing(_is_well(found), str(reason.message or found.message), reason.code, reason.certain)
