"""The simulated cluster.

Theory of operation. `storage.py` is the API server: objects lie in one table, each write raises one version
and is told to the watches. The controllers, the scheduler and the kubelet (`simulation.py`) look at the whole
table a moment after something changed, so that a burst of changes costs one look; they change what a real
cluster would have changed by then, and say when they want to look again: nothing runs while nothing is due.
Everything happens on the event loop, so no write meets another.

What is simulated says so: the version, the node, and every event.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stellwerk.release.clusters.bookkeeping import changed_by
from stellwerk.release.clusters.cluster import Applied, Changed, PatchType, Propagation
from stellwerk.release.clusters.errors import Gone, Refused
from stellwerk.release.clusters.kinds import Kind, KindInfo, Kinds, kind_of
from stellwerk.release.clusters.sandbox import admission, failing, merging
from stellwerk.release.clusters.sandbox.defaults import defaulted
from stellwerk.release.clusters.sandbox.definitions import conformed, has_status
from stellwerk.release.clusters.sandbox.furnishing import VERSION, furniture
from stellwerk.release.clusters.sandbox.patching import patched
from stellwerk.release.clusters.sandbox.quotas import check_quotas
from stellwerk.release.clusters.sandbox.simulation import simulate
from stellwerk.release.clusters.sandbox.storage import Storage, Wanted
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body, Key, key_of

START_S = 0.3
"""Between the making of a pod and its readiness: long enough to be seen, short enough for tests."""
GATHER_S = 0.002
"""Between a change and the controllers' look: changes come in bursts."""
SHARE = 5
"""A look waits so many times as long as the last one took: controllers take a sixth of the time at most."""


class Sandbox:
    """A cluster in this process; see the module."""

    def __init__(self, *, start_s: float = START_S) -> None:
        """`start_s`: how long pods take to get ready."""
        self.name = "sandbox"
        self.simulated = True
        self._start_s = start_s
        self._due: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        self._gather_s = GATHER_S
        self._closed = True  # until it is furnished: there may be no event loop yet
        self._storage = Storage(lambda: self._look_again(self._gather_s))
        for body in furniture():
            self._storage.put(self._storage.stamped(defaulted(body), None))
        self._closed = False

    async def version(self) -> str:
        """Return the version whose behaviour it imitates."""
        return VERSION

    async def kinds(self) -> Kinds:
        """Return the kinds that it serves."""
        return Kinds(self._storage.infos)

    async def resolve(self, kind: Kind) -> KindInfo:
        """Return how a kind is served. Raises UnknownKind."""
        return Kinds(self._storage.infos).resolve(kind)

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        """Read an object; None if it is not there."""
        await self.resolve(Kind(key.kind, key.group, version))
        return self._storage.table.get(key)

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        """Read all objects of a kind that carry these labels."""
        await self.resolve(kind)
        return [body for _, body in self._storage.rows(Wanted(kind, namespace, labels or {}))]

    async def apply(
        self,
        body: Body,
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        before: Body | None = None,
    ) -> Applied:
        """Apply a text; see `Cluster`."""
        info = await self.resolve(kind_of(body))
        await asyncio.sleep(0)
        key = key_of(body)
        admission.check_place(info, key)
        live = self._storage.table.get(key)
        admission.check_namespace(self._storage.table, key, new=live is None)
        text = merging.without_nulls(body)
        if live is not None and text["metadata"].get("resourceVersion") not in {
            None,
            live["metadata"]["resourceVersion"],
        }:
            raise Refused("raced", f"{key}: the object has been modified", 409)
        merged = merging.apply(live, self._storage.owners(key), text, manager, force=force)
        wanted = self._admitted(key, live, merged.body, status=None)
        if live is not None and wanted == live and merged.owners == self._storage.owners(key):
            return Applied(live, created=False, changed=False)
        stored = self._storage.stamped(wanted, live, merged.owners)
        if not dry_run:
            self._storage.own(key, merged.owners)
            self._storage.put(stored)
        created = live is None
        known = live if before is not None else None
        return Applied(stored, created, created or changed_by(known, stored, dry_run=dry_run))

    async def patch(
        self,
        key: Key,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        manager: str,
        patch_type: PatchType = "merge",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Body:
        """Change an object that is there. Raises Gone."""
        await self.resolve(kind_of(key))
        live = self._storage.table.get(key)
        if live is None:
            raise Gone(str(key))
        wanted = patched(live, patch, patch_type)
        if key_of(wanted) != key:
            raise Refused("invalid", f"{key}: a patch cannot change what an object is called", 422)
        if subresource == "status":
            wanted = self._admitted(key, live, live, status=wanted.get("status"))
        elif subresource:
            wanted = self._admitted(key, live, live | {"spec": wanted["spec"]}, status=None)
        else:
            wanted = self._admitted(key, live, wanted, status=None)
        if wanted == live:
            return live
        owners = merging.updated(live, wanted, self._storage.owners(key), manager)
        stored = self._storage.stamped(wanted, live, owners)
        if not dry_run:
            self._storage.own(key, owners)
            self._storage.put(stored)
        return stored

    async def delete(
        self,
        key: Key,
        *,
        propagation: Propagation = "background",
        uid: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Delete an object and what belongs to it; False if it was not there."""
        await self.resolve(Kind(key.kind, key.group))
        await asyncio.sleep(0)
        live = self._storage.table.get(key)
        if live is None or (uid and live["metadata"]["uid"] != uid):
            return False
        if key.kind == "Namespace" and key.name in admission.PROTECTED:
            raise Refused("forbidden", f'namespaces "{key.name}" is forbidden: it may not be deleted', 403)
        if not dry_run:
            self._storage.delete(key, propagation)
        return True

    async def watch(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Changed, None]:
        """Tell all objects, then `listed`, then every change."""
        await self.resolve(kind)
        queue = self._storage.watch(Wanted(kind, namespace, dict(labels or {})))
        try:
            while True:
                yield await queue.get()
        finally:
            self._storage.unwatch(queue)

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 20
    ) -> str:
        """Return what the simulation lets a container say. Raises Gone."""
        body = self._storage.table.get(Key(namespace, "Pod", pod))
        if body is None:
            raise Gone(f"the log of {namespace}/Pod/{pod}")
        lines = failing.log_of(body, previous=previous).splitlines(keepends=True)
        return "".join(lines[-tail:])

    async def allowed(self, verb: str, kind: Kind, namespace: str | None = None) -> bool:
        """Everybody may do everything."""
        return True

    async def close(self) -> None:
        """Stop simulating; idempotent."""
        self._closed = True
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _admitted(self, key: Key, live: Body | None, wanted: Body, *, status: Any) -> Body:
        """Return an object as the server would keep it. Raises Refused.

        `status`: what it becomes; None leaves it as it is, where it is written apart from the rest.
        """
        definition = self._definition(key)
        if definition is not None:
            found = conformed(definition, wanted)
            apart = has_status(definition, wanted["apiVersion"].rpartition("/")[2])
        else:
            found, apart = wanted, True
        if apart or status is not None:
            kept = status if status is not None else (live or {}).get("status")
            found = {name: value for name, value in found.items() if name != "status"}
            found |= {} if kept is None else {"status": kept}
        found = defaulted(found)
        admission.check_body(key, found)
        if live is not None:
            admission.check_change(key, live, found)
        elif key.namespace:
            check_quotas(self._storage.table, found, self._storage.infos)
        return found

    def _definition(self, key: Key) -> Body | None:
        """Return what defines the kind of an object; None for the built-in ones."""
        for one in self._storage.table.of("CustomResourceDefinition", "apiextensions.k8s.io"):
            spec = part(one, "spec")
            if (spec.get("group"), part(spec, "names").get("kind")) == (key.group, key.kind):
                return one
        return None

    def _look_again(self, in_s: float) -> None:
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + in_s
        # The handles of uvloop do not tell when they are due.
        if self._due is None or self._due_at > at:
            if self._due is not None:
                self._due.cancel()
            self._due, self._due_at = loop.call_later(in_s, self._simulate), at

    def _simulate(self) -> None:
        self._due, began_at = None, time.perf_counter()
        world = World(self._storage, datetime.now(UTC), self._start_s)
        simulate(world)
        self._gather_s = max(GATHER_S, SHARE * (time.perf_counter() - began_at))
        if world.again_in_s is not None:
            self._look_again(max(world.again_in_s, self._gather_s))
