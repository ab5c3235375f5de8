"""What the sandbox's API server does with objects: it keeps, numbers, deletes and tells of them.

An object with finalizers is only marked when it is deleted, and goes when the last of them is taken off.
What belongs to an object that is gone goes too, unless it is to be orphaned; a namespace takes what is in it
along.
"""

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from stellwerk.release.clusters.cluster import Changed, ChangeType, Propagation
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.sandbox import merging
from stellwerk.release.clusters.sandbox.kinds import built_in, defined_by
from stellwerk.release.clusters.sandbox.table import Table, owners_of
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body, Key, key_of

DEFINITION = ("apiextensions.k8s.io", "CustomResourceDefinition")
FOREGROUND = "foregroundDeletion"
"""The finalizer of what waits for the end of what it made."""


class Wanted(NamedTuple):
    """What a list or a watch shows."""

    kind: Kind
    namespace: str | None
    labels: Mapping[str, str]

    def has(self, key: Key, body: Body) -> bool:
        """Whether an object is shown."""
        if (key.kind, key.group) != (self.kind.kind, self.kind.group):
            return False
        if self.namespace is not None and key.namespace != self.namespace:
            return False
        labels = part(body, "metadata", "labels")
        return all(labels.get(name) == value for name, value in self.labels.items())


class Storage:
    """The objects of a cluster, and who waits for their changes."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called after every change."""
        self.table = Table()
        self.infos = built_in()
        self._changed = changed
        self._owners: dict[Key, merging.Owners] = {}
        self._versions = itertools.count(1)
        self._watches: list[tuple[Wanted, asyncio.Queue[Changed]]] = []
        self.born: dict[str, datetime] = {}
        """When an object was made, by uid, finer than its text says it."""
        self.marked: dict[str, datetime] = {}
        """When it was asked for an object's end that is not gone yet, by uid."""
        self._held: dict[str, Key] = {}
        """What waits for the end of what it made, by uid."""

    def owners(self, key: Key) -> merging.Owners:
        """Return who owns what of an object."""
        return self._owners.get(key, {})

    def own(self, key: Key, owners: merging.Owners) -> None:
        """Note who owns what of an object."""
        self._owners[key] = owners

    def stamped(self, body: Body, live: Body | None, owners: merging.Owners | None = None) -> Body:
        """Return an object with what the server alone writes."""
        known = live["metadata"] if live else {}
        now = datetime.now(UTC)
        stamp: dict[str, Any] = {
            "uid": known.get("uid") or str(uuid.uuid4()),
            "resourceVersion": str(next(self._versions)),
            "creationTimestamp": known.get("creationTimestamp") or written(now),
        }
        if "spec" in body:
            generation = int(known.get("generation") or 0)
            stamp["generation"] = generation + (live is None or _meant(body) != _meant(live))
        if owners is not None:
            stamp["managedFields"] = merging.managed_fields(owners, body["apiVersion"], written(now))
        return body | {"metadata": body["metadata"] | stamp}

    def put(self, body: Body) -> None:
        """Keep an object that is stamped, and tell of it."""
        key = key_of(body)
        known = self.table.get(key)
        self.table.put(key, body)
        if known is None:
            self.born[body["metadata"]["uid"]] = datetime.now(UTC)
            if (key.group, key.kind) == DEFINITION:
                self.infos = [*self.infos, *defined_by(body)]
        self._tell(key, known, body)
        metadata = body["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers") and key.kind != "Namespace":
            self._drop(key, orphan=False)

    def delete(self, key: Key, propagation: Propagation = "background") -> None:
        """Delete an object, or mark it where something holds it, and what belongs to it."""
        live = self.table.get(key)
        if live is None or live["metadata"].get("deletionTimestamp"):
            return
        if propagation == "foreground" and self.table.made_by(live):
            held = [*entries_of(live), FOREGROUND]
            self._held[live["metadata"]["uid"]] = key
            live = live | {"metadata": live["metadata"] | {"finalizers": held}}
        if key.kind == "Namespace" or live["metadata"].get("finalizers"):
            self._mark(live)
            for other in (
                self._with(key, live) if propagation == "foreground" or key.kind == "Namespace" else ()
            ):
                self.delete(other, "background" if key.kind == "Namespace" else "foreground")
        else:
            self._drop(key, orphan=propagation == "orphan")

    def finish(self, key: Key) -> None:
        """Let go of a namespace, or of what waited for the end of what it made, where nothing is left."""
        live = self.table.get(key)
        if live is None or next(iter(self._with(key, live)), None) is not None:
            return
        if key.kind == "Namespace":
            self._drop(key, orphan=False)
            return
        rest = [one for one in entries_of(live) if one != FOREGROUND]
        self.put(self.stamped(live | {"metadata": live["metadata"] | {"finalizers": rest}}, live))

    def watch(self, wanted: Wanted) -> asyncio.Queue[Changed]:
        """Begin to tell of what is wanted, after everything that is there."""
        queue: asyncio.Queue[Changed] = asyncio.Queue()
        self._watches.append((wanted, queue))
        for _, body in self.rows(wanted):
            queue.put_nowait(Changed("added", body))
        queue.put_nowait(Changed("listed"))
        return queue

    def unwatch(self, queue: asyncio.Queue[Changed]) -> None:
        """Tell no more."""
        self._watches = [one for one in self._watches if one[1] is not queue]

    def rows(self, wanted: Wanted) -> Iterator[tuple[Key, Body]]:
        """List what is wanted, by name."""
        for key, body in self.table.rows(wanted.kind.kind, wanted.kind.group):
            if wanted.has(key, body):
                yield key, body

    def _with(self, key: Key, body: Body) -> list[Key]:
        """List what goes with an object: what is in it, or belongs to it."""
        if key.kind == "Namespace":
            return list(self.table.inside(key.name))
        return [key_of(one) for one in self.table.made_by(body)]

    def _mark(self, live: Body) -> None:
        now = datetime.now(UTC)
        self.marked[live["metadata"]["uid"]] = now
        marked = live | {"metadata": live["metadata"] | {"deletionTimestamp": written(now)}}
        if live["kind"] == "Namespace":
            marked |= {"status": {"phase": "Terminating"}}
        self.put(self.stamped(marked, live))

    def _drop(self, key: Key, *, orphan: bool) -> None:
        body = self.table.pop(key)
        uid = body["metadata"]["uid"]
        self._owners.pop(key, None)
        for known in (self.born, self.marked, self._held):
            known.pop(uid, None)
        if (key.group, key.kind) == DEFINITION:
            self._undefine(body)
        self._tell(key, body, None)
        for other in self.table.made_by(body):
            rest = [one for one in entries(part(other, "metadata"), "ownerReferences") if one["uid"] != uid]
            if rest or orphan:
                left = other | {"metadata": other["metadata"] | {"ownerReferences": rest}}
                self.put(self.stamped(left, other))
            else:
                self.delete(key_of(other))
        for owner in owners_of(body):
            self._let_go(owner)

    def _let_go(self, uid: str) -> None:
        """Look whether an owner waited for this one only."""
        if (key := self._held.get(uid)) is not None:
            self.finish(key)

    def _undefine(self, definition: Body) -> None:
        gone = set(defined_by(definition))
        for info in gone:
            for key, _ in self.table.rows(info.kind, info.group):
                self._drop(key, orphan=False)
        self.infos = [one for one in self.infos if one not in gone]

    def _tell(self, key: Key, before: Body | None, after: Body | None) -> None:
        """Tell watches; what loses the labels that one asks for counts as deleted there."""
        for wanted, queue in self._watches:
            had = before is not None and wanted.has(key, before)
            if after is not None and wanted.has(key, after):
                change: ChangeType = "modified" if had else "added"
                queue.put_nowait(Changed(change, after))
            elif had:
                queue.put_nowait(Changed("deleted", after or before or {}))
        self._changed()


def entries_of(body: Body) -> list[str]:
    """Return an object's finalizers."""
    return list(body["metadata"].get("finalizers") or ())


def written(at: datetime) -> str:
    """Return a time as Kubernetes writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _meant(body: Body) -> Body:
    return {name: value for name, value in body.items() if name not in {"metadata", "status"}}
