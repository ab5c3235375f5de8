"""The watches of one application instance: opened, kept, and given up as what it owns changes.

Theory of operation. Watches come in stages: what is owned first, then ReplicaSets and jobs, then pods, then
events, each when those before have told what is there. So what belongs to us is known as such when it comes,
and a crowded namespace costs no memory. A watch that the cluster refuses is tried again after a while, in
case rights or kinds come; what it would tell is unknown until then, and nothing else suffers. While the
cluster is away the watches themselves go on trying, with growing pauses.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping

import structlog

from stellwerk.release.clusters.cluster import Changed, Cluster
from stellwerk.release.clusters.errors import ClusterError, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.inventory import Entry
from stellwerk.release.objects import Key
from stellwerk.release.observing import ENDPOINTS, POD, REPLICA_SET, Watch, watches_around
from stellwerk.release.ownership import Identity
from stellwerk.release.table import named

AGAIN_S = 30.0
"""Until a refused watch is tried again: rights and kinds come by hand."""
STAGE_S = 10.0
"""How long a stage waits for the one before: a slow list must not keep everything else back."""
JOB = Kind("Job", "batch")

log = structlog.get_logger(__name__)


class _Kept:
    """One watch that is kept."""

    def __init__(self, stage: int) -> None:
        self.stage = stage
        self.ready = asyncio.Event()
        """Set when it has told what is there, or was refused."""
        self.listed = False
        self.lost_at: float | None = None
        self.refused = ""
        self.told: set[Key] = set()
        self.task: asyncio.Task[None] | None = None


class Feed:
    """Keeps watches; see the module."""

    def __init__(self, cluster: Cluster, take: Callable[[Changed], None], moved: Callable[[], None]) -> None:
        """`take`: is given what watches tell; `moved`: is called after it, and when a watch comes or goes."""
        self._cluster = cluster
        self._take = take
        self._moved = moved
        self._kept: dict[Watch, _Kept] = {}
        self._labels: tuple[tuple[str, str], ...] = ()
        self._bare: set[tuple[str, str, str]] = set()
        """Kinds, groups and namespaces in which something of ours may not carry our marks."""

    @property
    def lost_for_s(self) -> float | None:
        """For how long the first of the watches has been without the cluster; None if all have it."""
        lost_at = [one.lost_at for one in self._kept.values() if one.lost_at is not None]
        return asyncio.get_running_loop().time() - min(lost_at) if lost_at else None

    @property
    def complete(self) -> bool:
        """Whether every watch has told what is there, or was refused."""
        return all(one.ready.is_set() for one in self._kept.values())

    def listed(self, key: Key, entry: Entry) -> bool:
        """Tell whether it is known if an owned object is there."""
        kept = self._kept.get(self._watch_of(key, entry))
        return kept is not None and kept.listed

    def refusal(self, key: Key, entry: Entry) -> str:
        """Say why an owned object cannot be watched; empty if it can."""
        kept = self._kept.get(self._watch_of(key, entry))
        return kept.refused if kept is not None else ""

    def follow(self, identity: Identity, entries: Mapping[Key, Entry]) -> None:
        """Watch what is owned, and what is around it, from now on."""
        self._labels = tuple(sorted(identity.labels().items()))
        self._bare = {
            (key.kind, key.group, key.namespace)
            for key, entry in entries.items()
            if entry.adopted or Kind(key.kind, key.group) in (POD, REPLICA_SET)
        }
        wanted = self._wanted(entries)
        for watch in self._kept.keys() - wanted.keys():
            task = self._kept.pop(watch).task
            if task is not None:
                task.cancel()
        for watch, stage in sorted(wanted.items(), key=lambda one: one[1]):
            if watch not in self._kept:
                kept = self._kept[watch] = _Kept(stage)
                kept.task = asyncio.create_task(self._keep(watch, kept), name=f"watch of {watch.kind}")

    async def stop(self) -> None:
        """End all watches; may be called more than once."""
        tasks = [one.task for one in self._kept.values() if one.task is not None]
        self._kept.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wanted(self, entries: Mapping[Key, Entry]) -> dict[Watch, int]:
        found: dict[Watch, int] = {}
        for key, entry in entries.items():
            found[self._watch_of(key, entry)] = 0
            for watch in watches_around(key):
                found.setdefault(watch, {REPLICA_SET: 1, POD: 2}.get(watch.kind, 3))
            if key.kind == "Service":
                found[Watch(ENDPOINTS, key.namespace)] = 1
            if key.kind == "CronJob":
                found[Watch(JOB, key.namespace)] = 1
        return found

    def _watch_of(self, key: Key, entry: Entry) -> Watch:
        """Return the watch that tells of an owned object; without our marks where it may not carry them."""
        kind = Kind(key.kind, key.group)
        if kind in (POD, REPLICA_SET):
            return Watch(kind, key.namespace)
        labels = () if (key.kind, key.group, key.namespace) in self._bare else self._labels
        version = entry.api_version.rpartition("/")[2] or None
        return Watch(Kind(key.kind, key.group, version), key.namespace, labels)

    async def _keep(self, watch: Watch, kept: _Kept) -> None:
        await self._until(one.ready for one in self._kept.values() if one.stage < kept.stage)
        while True:
            try:
                await self._tell(watch, kept)
            except UnknownKind as error:
                kept.refused = str(error)
                for key in tuple(kept.told):
                    self._drop(key, kept)
            except ClusterError as error:
                if not kept.refused:
                    log.warning("what is deployed cannot be watched in full", what=str(watch), why=str(error))
                kept.refused = str(error)
            kept.listed = False
            kept.lost_at = None
            kept.ready.set()
            self._moved()
            await asyncio.sleep(AGAIN_S)

    async def _tell(self, watch: Watch, kept: _Kept) -> None:
        before, fresh = kept.told, set[Key]()
        changes = self._cluster.watch(
            watch.kind, namespace=watch.namespace or None, labels=dict(watch.labels) or None
        )
        async with contextlib.aclosing(changes):
            async for change in changes:
                if change.type == "lost":
                    kept.lost_at = kept.lost_at or asyncio.get_running_loop().time()
                elif change.type == "listed":
                    for key in before - fresh:
                        self._drop(key, kept)
                    before = set()
                    kept.lost_at, kept.refused, kept.listed = None, "", True
                    kept.ready.set()
                else:
                    self._note(change, kept, fresh)
                self._moved()

    def _note(self, change: Changed, kept: _Kept, fresh: set[Key]) -> None:
        key = named(change.object)
        if change.type == "deleted":
            kept.told.discard(key)
        elif key.kind != "Event":  # they go by themselves, and nothing comes of it
            kept.told.add(key)
            if not kept.listed:
                fresh.add(key)
        self._take(change)

    def _drop(self, key: Key, kept: _Kept) -> None:
        kept.told.discard(key)
        body = {
            "apiVersion": f"{key.group}/v1" if key.group else "v1",
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
        }
        self._take(Changed("deleted", body))

    async def _until(self, events: Iterable[asyncio.Event]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STAGE_S):
                for event in tuple(events):
                    await event.wait()
