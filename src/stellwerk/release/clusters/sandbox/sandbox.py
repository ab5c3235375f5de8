"""The simulated cluster.

Theory of operation. Objects lie in one table; each write raises one version, wakes the watches, and the
simulation (`simulation.py`), which plays the controllers and the kubelet: it looks at the whole table,
changes what a real cluster would have changed by then, and says when it wants to look again. Everything
happens on the event loop, so no write meets another.
"""

import asyncio
import itertools
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stellwerk.release.clusters.bookkeeping import differs
from stellwerk.release.clusters.cluster import Applied, Changed, ChangeType, PatchType, Propagation
from stellwerk.release.clusters.errors import Gone, Refused
from stellwerk.release.clusters.kinds import Kind, KindInfo, Kinds, kind_of
from stellwerk.release.clusters.sandbox import merging
from stellwerk.release.clusters.sandbox.admission import admit, defaulted
from stellwerk.release.clusters.sandbox.kinds import built_in, defined_by
from stellwerk.release.clusters.sandbox.simulation import simulate
from stellwerk.release.objects import Body, Key, key_of

VERSION = "v1.29.0-sandbox"
NAMESPACES = ("default", "kube-system")
EMPTYING_S = 0.1
"""How long a namespace is being deleted at least."""
START_S = 0.3
"""Between the making of a pod and its readiness: long enough to be seen, short enough for tests."""


class Sandbox:
    """A cluster in this process; see the module."""

    def __init__(self, *, start_s: float = START_S) -> None:
        """`start_s`: how long pods take to get ready."""
        self.name = "sandbox"
        self.simulated = True
        self._start_s = start_s
        self._infos = built_in()
        self._objects: dict[Key, Body] = {}
        self._owners: dict[Key, merging.Owners] = {}
        self._versions = itertools.count(1)
        self._watches: set[tuple[_Wanted, asyncio.Queue[Changed]]] = set()
        self._due: asyncio.TimerHandle | None = None
        self._due_at = 0.0
        for name in NAMESPACES:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            self._objects[key_of(body)] = defaulted(self._stamped(body, None))

    async def version(self) -> str:
        """Return the version whose behaviour it imitates."""
        return VERSION

    async def kinds(self) -> Kinds:
        """Return the kinds that it serves."""
        return Kinds(self._infos)

    async def resolve(self, kind: Kind) -> KindInfo:
        """Return how a kind is served. Raises UnknownKind."""
        return Kinds(self._infos).resolve(kind)

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        """Read an object; None if it is not there."""
        await self.resolve(Kind(key.kind, key.group, version))
        return self._objects.get(key)

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        """Read all objects of a kind that carry these labels."""
        await self.resolve(kind)
        wanted = _Wanted(kind, namespace, tuple((labels or {}).items()))
        return [body for key, body in sorted(self._objects.items()) if wanted.has(key, body)]

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
        if not info.namespaced and key.namespace:
            raise Refused("invalid", f"{key.kind} has no namespace", 400)
        if info.namespaced and not key.namespace:
            raise Refused("invalid", f"{key.kind} needs a namespace", 400)
        live = self._objects.get(key)
        admit(self._objects, key, live, body)
        merged = merging.apply(live, self._owners.get(key, {}), body, manager, force=force)
        wanted = defaulted(merged.body)
        if live is not None and not differs(live, wanted):
            if not dry_run:
                self._owners[key] = merged.owners
            return Applied(live, created=False, changed=False)
        stored = self._stamped(wanted, live)
        if not dry_run:
            self._owners[key] = merged.owners
            stored = _managed(stored, merged.owners)
            self._put(key, stored)
        return Applied(stored, created=live is None, changed=True)

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
        live = self._objects.get(key)
        if live is None:
            raise Gone(str(key))
        if not isinstance(patch, Mapping):
            raise Refused("invalid", "the sandbox takes no JSON patches", 400)
        stored = self._stamped(_patched(live, patch), live)
        if not dry_run:
            owned = frozenset(path for path, _ in merging.leaves(dict(patch), body=live))
            owners = {other: paths - owned for other, paths in self._owners.get(key, {}).items()}
            if not subresource:
                self._owners[key] = owners | {manager: owners.get(manager, frozenset()) | owned}
                stored = _managed(stored, self._owners[key])
            self._put(key, stored)
            if stored["metadata"].get("deletionTimestamp") and not stored["metadata"].get("finalizers"):
                self._drop(key)
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
        live = self._objects.get(key)
        if live is None or (uid and live["metadata"]["uid"] != uid):
            return False
        if not dry_run:
            self._delete(key, live, orphan=propagation == "orphan")
        return True

    async def watch(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Changed, None]:
        """Tell all objects, then `listed`, then every change."""
        await self.resolve(kind)
        queue: asyncio.Queue[Changed] = asyncio.Queue()
        entry = (_Wanted(kind, namespace, tuple((labels or {}).items())), queue)
        self._watches.add(entry)
        try:
            for key, body in sorted(self._objects.items()):
                if entry[0].has(key, body):
                    queue.put_nowait(Changed("added", body))
            queue.put_nowait(Changed("listed"))
            while True:
                yield await queue.get()
        finally:
            self._watches.discard(entry)

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 20
    ) -> str:
        """Return what the simulation lets a container say. Raises Gone."""
        body = self._objects.get(Key(namespace, "Pod", pod))
        if body is None:
            raise Gone(f"{namespace}/Pod/{pod}")
        notes = body["metadata"].get("annotations") or {}
        return str(notes.get("sandbox.stellwerk.dev/log", ""))

    async def allowed(self, verb: str, kind: Kind, namespace: str | None = None) -> bool:
        """Everybody may do everything."""
        return True

    async def close(self) -> None:
        """Stop simulating; idempotent."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _delete(self, key: Key, live: Body, *, orphan: bool) -> None:
        namespace = key.kind == "Namespace"
        if namespace or live["metadata"].get("finalizers"):
            marked = live | {"metadata": live["metadata"] | {"deletionTimestamp": _now()}}
            marked |= {"status": {"phase": "Terminating"}} if namespace else {}
            self._put(key, self._stamped(marked, live))
        else:
            self._drop(key)
        if namespace:
            asyncio.get_running_loop().call_later(EMPTYING_S, self._finish_namespace, key)
        elif key in self._objects:
            return
        if not orphan:
            for other in self._dependents(key, live["metadata"]["uid"]):
                if (body := self._objects.get(other)) is not None:  # not gone with another of them
                    self._delete(other, body, orphan=False)

    def _finish_namespace(self, key: Key) -> None:
        """Let a namespace go when nothing is left in it."""
        if any(other.namespace == key.name for other in self._objects):
            asyncio.get_running_loop().call_later(EMPTYING_S, self._finish_namespace, key)
        elif key in self._objects:
            self._drop(key)

    def _dependents(self, key: Key, uid: str) -> Sequence[Key]:
        """List what goes with an object: what it made, or what is in it."""
        return [
            other
            for other, body in self._objects.items()
            if (key.kind == "Namespace" and other.namespace == key.name)
            or any(one.get("uid") == uid for one in body["metadata"].get("ownerReferences") or ())
        ]

    def _put(self, key: Key, body: Body) -> None:
        known = self._objects.get(key)
        self._objects[key] = body
        if key.kind == "CustomResourceDefinition" and known is None:
            self._infos += defined_by(body)
        self._tell(key, known, body)

    def _drop(self, key: Key) -> None:
        body = self._objects.pop(key)
        self._owners.pop(key, None)
        if key.kind == "CustomResourceDefinition":
            gone = {info.kind for info in defined_by(body)}
            group = body["spec"]["group"]
            self._infos = [one for one in self._infos if one.group != group or one.kind not in gone]
        self._tell(key, body, None)

    def _tell(self, key: Key, before: Body | None, after: Body | None) -> None:
        """Tell watches; what loses the labels that one asks for counts as deleted there."""
        for wanted, queue in self._watches:
            had = before is not None and wanted.has(key, before)
            if after is not None and wanted.has(key, after):
                change: ChangeType = "modified" if had else "added"
                queue.put_nowait(Changed(change, after))
            elif had:
                queue.put_nowait(Changed("deleted", after or before or {}))
        self._look_again(0.0)

    def _look_again(self, in_s: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + in_s
        # The handles of uvloop do not tell when they are due.
        if self._due is None or self._due_at > at:
            if self._due is not None:
                self._due.cancel()
            self._due, self._due_at = loop.call_later(in_s, self._simulate), at

    def _simulate(self) -> None:
        self._due = None
        step = simulate(self._objects, datetime.now(UTC), self._start_s)
        for key in step.gone:
            if key in self._objects:
                self._delete(key, self._objects[key], orphan=False)
        for body in step.bodies:
            key = key_of(body)
            self._put(key, self._stamped(body, self._objects.get(key), status=True))
        if step.again_in_s is not None:
            self._look_again(step.again_in_s)

    def _stamped(self, body: Body, live: Body | None, *, status: bool = False) -> Body:
        """Return a body with what the server alone writes."""
        known = live["metadata"] if live else {}
        generation = int(known.get("generation") or 1)
        if live is not None and not status and body.get("spec") != live.get("spec"):
            generation += 1
        metadata = body["metadata"] | {
            "uid": known.get("uid") or str(uuid.uuid4()),
            "resourceVersion": str(next(self._versions)),
            "generation": generation,
            "creationTimestamp": known.get("creationTimestamp") or _now(),
        }
        return body | {"metadata": metadata}


class _Wanted:
    """What a list or a watch shows."""

    def __init__(self, kind: Kind, namespace: str | None, labels: tuple[tuple[str, str], ...]) -> None:
        self._kind = kind
        self._namespace = namespace
        self._labels = labels

    def has(self, key: Key, body: Body) -> bool:
        if (key.kind, key.group) != (self._kind.kind, self._kind.group):
            return False
        if self._namespace is not None and key.namespace != self._namespace:
            return False
        labels = body["metadata"].get("labels") or {}
        return all(labels.get(name) == value for name, value in self._labels)


def _managed(body: Body, owners: merging.Owners) -> Body:
    entries = [{"manager": name, "operation": "Apply", "fieldsType": "FieldsV1"} for name in sorted(owners)]
    return body | {"metadata": body["metadata"] | {"managedFields": entries}}


def _patched(live: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(live) if isinstance(live, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _patched(found.get(name), value)
    return found


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
