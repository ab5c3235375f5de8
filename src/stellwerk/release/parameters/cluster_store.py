"""Parameters whose truth is a custom resource in the cluster.

The resource is written first, then the history, which stays in the database: it has who and why, for which a
resource has no place. What was written in the cluster by others, or by a process that ended in between, is
found at the next read, because it differs from the newest version, and is recorded then.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Conflict, Gone, Refused, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key
from stellwerk.release.parameters.definition import KIND, Resource, definition
from stellwerk.release.parameters.model import Action, Document, Note, StaleParameters, Version
from stellwerk.release.parameters.store import History

FINDER = "cluster"
"""Whom the history names for changes that were found."""
ESTABLISHED_S = 10.0
"""How long a new definition may take until its kind is served; usually a second."""
_PAUSE_S = 0.2


class ClusterStore:
    """The cluster is the truth: one resource an instance. Raises what the cluster raises."""

    def __init__(
        self,
        cluster: Cluster,
        history: History,
        *,
        namespace: str,
        manager: str,
        resource: Resource | None = None,
        schema: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        """`schema` describes the definition that is installed where the cluster has none; None leaves that
        to others."""
        self._cluster = cluster
        self._history = history
        self._namespace = namespace
        self._manager = manager
        self._resource = resource or Resource()
        self._schema = schema

    async def install(self, schema: Mapping[str, Any]) -> None:
        """Apply the definition of the resource, and wait until its kind is served; idempotent."""
        await self._cluster.apply(definition(schema, self._resource), manager=self._manager, force=True)
        kind = Kind(KIND, self._resource.group, self._resource.version)
        async with asyncio.timeout(ESTABLISHED_S):
            while True:
                try:
                    await self._cluster.resolve(kind)
                except UnknownKind:
                    await asyncio.sleep(_PAUSE_S)
                else:
                    return

    async def read(self, instance: str) -> Document | None:
        """Return what the resource holds; None if it, or its kind, is not there."""
        found = await self._find(instance)
        last = await self._seen(instance, None if found is None else _spec(found))
        if found is None or last is None or last.spec is None:
            return None
        return Document(instance, last.spec, last.version, _etag(found), last.at, last.by)

    async def names(self) -> list[str]:
        """Return the names of the resources."""
        try:
            kind = Kind(KIND, self._resource.group, self._resource.version)
            found = await self._cluster.list(kind, namespace=self._namespace)
        except UnknownKind:
            return []
        return sorted(one["metadata"]["name"] for one in found)

    async def write(
        self, instance: str, spec: Mapping[str, Any] | None, *, before: Document | None, note: Note
    ) -> Document | None:
        """Store a document, or remove the resource. Raises StaleParameters."""
        found = await self._find(instance)
        if _etag(found) != ("0" if before is None else before.etag):
            raise StaleParameters(instance, _etag(found))
        written = await self._put(instance, spec, found)
        last = await self._history.last(instance)
        added = await self._history.add(instance, spec, after=0 if last is None else last.version, note=note)
        if spec is None or written is None:
            return None
        if added is None:
            return await self.read(instance)
        return Document(instance, spec, added.version, _etag(written), added.at, added.by)

    async def _put(self, instance: str, spec: Mapping[str, Any] | None, found: Body | None) -> Body | None:
        if spec is None:
            uid = None if found is None else found["metadata"].get("uid")
            await self._cluster.delete(self._key(instance), uid=uid)
            return None
        try:
            if found is None:
                return await self._make(instance, spec)
            # Replaced as a whole, not applied: names that others added have to go as well.
            patch: list[dict[str, Any]] = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": _etag(found)},
                {"op": "add", "path": "/spec", "value": spec},
            ]
            return await self._cluster.patch(
                self._key(instance), patch, manager=self._manager, patch_type="json"
            )
        except (Conflict, Gone, Refused) as error:
            now = _etag(await self._find(instance))
            if now != _etag(found):
                raise StaleParameters(instance, now) from error
            raise

    async def _make(self, instance: str, spec: Mapping[str, Any]) -> Body:
        body = self._body(instance, spec)
        try:
            return (await self._cluster.apply(body, manager=self._manager)).object
        except UnknownKind:
            if self._schema is None:
                raise
            await self.install(self._schema())
            return (await self._cluster.apply(body, manager=self._manager)).object

    async def _seen(self, instance: str, spec: Mapping[str, Any] | None) -> Version | None:
        """Return the newest version, after recording what is in the cluster if it is another."""
        last = await self._history.last(instance)
        if spec == (None if last is None else last.spec):
            return last
        note = Note(Action.REMOVED if spec is None else Action.FOUND, FINDER, "changed in the cluster")
        added = await self._history.add(instance, spec, after=0 if last is None else last.version, note=note)
        return added or await self._history.last(instance)

    async def _find(self, instance: str) -> Body | None:
        try:
            return await self._cluster.get(self._key(instance), version=self._resource.version)
        except UnknownKind:
            return None

    def _key(self, instance: str) -> Key:
        return Key(self._namespace, KIND, instance, self._resource.group)

    def _body(self, instance: str, spec: Mapping[str, Any]) -> Body:
        return {
            "apiVersion": self._resource.api_version,
            "kind": KIND,
            "metadata": {"name": instance, "namespace": self._namespace},
            "spec": dict(spec),
        }


def _spec(body: Body) -> Mapping[str, Any]:
    found = body.get("spec")
    return found if isinstance(found, Mapping) else {}


def _etag(body: Body | None) -> str:
    return "0" if body is None else str(body["metadata"]["resourceVersion"])
