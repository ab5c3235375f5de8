"""The cluster interface over a real API server."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import msgspec

from stellwerk.release.clusters.bookkeeping import changed_by
from stellwerk.release.clusters.cluster import Applied, Changed, PatchType, Propagation
from stellwerk.release.clusters.errors import Gone, Refused, UnknownKind
from stellwerk.release.clusters.kinds import Kind, KindInfo, Kinds, kind_of
from stellwerk.release.clusters.kubernetes.access import Access
from stellwerk.release.clusters.kubernetes.completing import completed
from stellwerk.release.clusters.kubernetes.discovery import discover
from stellwerk.release.clusters.kubernetes.transport import Call, Patience, Transport
from stellwerk.release.clusters.kubernetes.watching import Watch
from stellwerk.release.objects import Body, Key, key_of

APPLY = "application/apply-patch+yaml"
"""JSON is YAML, and every server from 1.16 on takes this type."""
PATCHES: Mapping[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}
LOG_BYTES = 1_048_576
"""Of one log, whatever its lines: a line may be as long as a program likes."""
PAGE = "500"
"""Objects in one answer to a list, as `kubectl` asks for them."""


class KubernetesCluster:
    """A cluster behind an API server. All methods belong to one event loop."""

    simulated = False

    def __init__(self, access: Access, patience: Patience | None = None) -> None:
        self.name = access.name
        self._transport = Transport(access, patience or Patience())
        self._kinds: Kinds | None = None
        self._asking: asyncio.Task[Kinds] | None = None

    async def version(self) -> str:
        """Return the server's version."""
        return str((await self._json(Call("GET", "/version")))["gitVersion"])

    async def kinds(self) -> Kinds:
        """Return the kinds that it serves, as it last said."""
        return self._kinds or await self._discover()

    async def resolve(self, kind: Kind) -> KindInfo:
        """Return how a kind is served; one that is not known is asked for afresh."""
        known = self._kinds
        if known is not None and (info := known.find(kind)) is not None:
            return info
        return (await self._discover()).resolve(kind)

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        """Read an object; None if it is not there."""
        info = await self.resolve(Kind(key.kind, key.group, version))
        call = Call("GET", _path(info, key.namespace, key.name), what=str(key), answers_missing=True)
        answer = await self._transport.call(call)
        return None if answer.status == 404 else dict(msgspec.json.decode(answer.body))

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        """Read all objects of a kind that carry these labels."""
        return (await self._list(await self.resolve(kind), namespace, labels))[0]

    async def apply(
        self,
        body: Body,
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        before: Body | None = None,
    ) -> Applied:
        """Apply on the server's side."""
        key = key_of(body)
        info = await self.resolve(kind_of(body))
        query = {"fieldManager": manager, "force": "true" if force else "false", **_dry(dry_run)}
        path = _path(info, key.namespace, key.name)
        try:
            answer = await self._transport.call(
                Call("PATCH", path, query, msgspec.json.encode(completed(body)), APPLY, what=str(key))
            )
        except Gone:  # the kind, or its version, was taken away since we asked
            (await self._discover()).resolve(kind_of(body))
            raise
        after: Body = msgspec.json.decode(answer.body)
        created = answer.status == 201
        return Applied(after, created, created or changed_by(before, after, dry_run=dry_run))

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
        """Change an object that is there, and return it."""
        info = await self.resolve(kind_of(key))
        path = _path(info, key.namespace, key.name) + (f"/{subresource}" if subresource else "")
        query = {"fieldManager": manager, **_dry(dry_run)}
        return await self._json(
            Call("PATCH", path, query, msgspec.json.encode(patch), PATCHES[patch_type], what=str(key))
        )

    async def delete(
        self,
        key: Key,
        *,
        propagation: Propagation = "background",
        uid: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Delete an object; False if it was not there, or was another one."""
        info = await self.resolve(kind_of(key))
        # The server reads options from the body or from the query, never from both: a dry run that is asked
        # for in the query is none.
        options: dict[str, Any] = {"propagationPolicy": propagation.capitalize()}
        if dry_run:
            options["dryRun"] = ["All"]
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        call = Call(
            "DELETE",
            _path(info, key.namespace, key.name),
            body=msgspec.json.encode(options),
            what=str(key),
            answers_missing=True,
        )
        try:
            answer = await self._transport.call(call)
        except Refused as refusal:
            if uid is not None and refusal.status == 409:
                return False
            raise
        return answer.status != 404 or answer.repeated

    async def watch(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Changed, None]:
        """Tell what there is and what happens."""
        info = await self.resolve(kind)
        call = Call("GET", _path(info, namespace), _selected(labels), what=f"the watch of {kind}")
        watch = Watch(self._transport, lambda: self._list(info, namespace, labels), call)
        async with aclosing(watch.changes()) as changes:
            async for change in changes:
                yield change

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 20
    ) -> str:
        """Return a container's last lines; empty if it wrote none, or did not begin yet."""
        query = {
            "container": container,
            "tailLines": str(tail),
            "limitBytes": str(LOG_BYTES),
            "previous": "true" if previous else "false",
        }
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/log"
        what = f"the log of {namespace}/Pod/{pod}"
        try:
            answer = await self._transport.call(Call("GET", path, query, accept="*/*", what=what))
        except Refused as refusal:
            if refusal.status == 400:  # it waits to start, or had no run before
                return ""
            raise
        return answer.body.decode(errors="replace")

    async def allowed(self, verb: str, kind: Kind, namespace: str | None = None) -> bool:
        """Ask the server (SelfSubjectAccessReview)."""
        info = await self.resolve(kind)
        attributes = {
            "verb": verb,
            "group": info.group,
            "resource": info.plural,
            "namespace": namespace or "",
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = await self._json(Call("POST", path, body=msgspec.json.encode(review)))
        return bool(answer["status"]["allowed"])

    async def close(self) -> None:
        """Close all connections; idempotent."""
        if self._asking is not None:
            self._asking.cancel()
        await self._transport.close()

    async def _discover(self) -> Kinds:
        """Ask what is served; who comes while somebody asks waits for the same answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(discover(self._transport))
        self._kinds = await asyncio.shield(self._asking)
        return self._kinds

    async def _json(self, call: Call) -> Body:
        body: Body = msgspec.json.decode((await self._transport.call(call)).body)
        return body

    async def _list(
        self, info: KindInfo, namespace: str | None, labels: Mapping[str, str] | None
    ) -> tuple[Sequence[Body], str]:
        """Read all pages of a list, and the version at which it was so."""
        items: list[Body] = []
        query = {**_selected(labels), "limit": PAGE}
        while True:
            call = Call("GET", _path(info, namespace), query, what=f"the list of {info.plural}")
            try:
                page = await self._json(call)
            except Gone:
                raise UnknownKind(info.kind, info.group, info.version) from None
            except Refused as refusal:
                if refusal.status != 410:
                    raise
                # The rest of the list is forgotten already: take everything at once, as it is now.
                items, query = [], _selected(labels)
                continue
            for item in page["items"]:
                item.update(
                    apiVersion=info.api_version, kind=info.kind
                )  # items of lists do not say what they are
            items += page["items"]
            if not (following := page["metadata"].get("continue")):
                return items, page["metadata"]["resourceVersion"]
            query = query | {"continue": following}


def _path(info: KindInfo, namespace: str | None, name: str | None = None) -> str:
    """Return where objects of a kind are; `namespace` None means all of them."""
    start = f"/apis/{info.group}/{info.version}" if info.group else f"/api/{info.version}"
    if info.namespaced and namespace is not None:
        if not namespace:
            raise Refused("invalid", f"an object of the kind {info.kind} needs a namespace", 422)
        start += f"/namespaces/{quote(namespace, safe='')}"
    return f"{start}/{info.plural}" + (f"/{quote(name, safe='')}" if name is not None else "")


def _selected(labels: Mapping[str, str] | None) -> dict[str, str]:
    return {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())} if labels else {}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
