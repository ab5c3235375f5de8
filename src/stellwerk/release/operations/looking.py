"""Reading what a plan is made of: the objects as they are, and what a dry run makes of them.

Few requests: one list for each kind and namespace where several objects are wanted, single reads elsewhere.
Where we may write and not read, an object is not visible, and the plan goes by what we applied ourselves.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable, Conflict, Refused, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.inventory import Inventory
from stellwerk.release.objects import Key, Manifest
from stellwerk.release.ownership import Identity
from stellwerk.release.plan import NOT_VISIBLE, Known, Live, Scope, Trial, to_apply, to_try

AT_ONCE = 32
"""Requests that are under way together: the API server's default share of one user is some hundred."""
LISTED_FROM = 5
"""Objects of one kind and namespace from which one list is cheaper than single reads."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Objects that one list would show."""

    kind: Kind
    namespace: str


async def look(cluster: Cluster, wanted: Sequence[Manifest], inventory: Inventory, scope: Scope) -> Known:
    """Read everything that a plan needs, but for dry runs. Raises ClusterUnavailable, NotSelected."""
    found, missing = await _read(cluster, _needed(wanted, inventory, scope), scope.identity)
    return Known(found, inventory, missing_kinds=missing)


async def look_again(cluster: Cluster, keys: Iterable[Key], identity: Identity) -> Mapping[Key, Live]:
    """Read objects as they are now; what is of a kind that is no longer served is not there.

    Raises ClusterUnavailable, NotSelected.
    """
    found, _ = await _read(cluster, dict.fromkeys(keys, ""), identity)
    return found


async def try_out(
    cluster: Cluster, wanted: Sequence[Manifest], known: Known, scope: Scope, *, new: bool
) -> Known:
    """Run the dry runs that the plan needs; `new`: also of what is not there yet."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(manifest: Manifest) -> tuple[Key, Trial]:
        async with limit:
            return manifest.key, await _try(cluster, manifest, known, scope)

    trials = dict(await asyncio.gather(*map(one, to_try(wanted, known, scope, new=new))))
    return Known(known.live, known.inventory, trials, known.missing_kinds, known.elsewhere)


async def _read(
    cluster: Cluster, versions: Mapping[Key, str], identity: Identity
) -> tuple[dict[Key, Live], frozenset[tuple[str, str]]]:
    """Read objects, each as its `apiVersion` has it; empty for any. Also return the kinds nobody serves."""
    groups: dict[_Group, set[Key]] = {}
    for key, api_version in versions.items():
        version = api_version.rpartition("/")[2] or None
        groups.setdefault(_Group(Kind(key.kind, key.group, version), key.namespace), set()).add(key)
    reader = _Reader(cluster, identity)
    found = await asyncio.gather(*(reader.read(group, keys) for group, keys in groups.items()))
    return {key: one for part in found for key, one in part.items()}, frozenset(reader.missing)


def _needed(wanted: Iterable[Manifest], inventory: Inventory, scope: Scope) -> Mapping[Key, str]:
    needed = {key: entry.api_version for key, entry in inventory.of(scope.services).items()}
    for manifest in wanted:
        needed[manifest.key] = manifest.api_version
        if manifest.key.namespace:
            needed.setdefault(Key("", "Namespace", manifest.key.namespace), "v1")
    return needed


async def _try(cluster: Cluster, manifest: Manifest, known: Known, scope: Scope) -> Trial:
    body, manager = to_apply(manifest, known, scope), scope.identity.manager
    try:
        return Trial((await cluster.apply(body, manager=manager, dry_run=True)).object)
    except Conflict as conflict:
        fields = tuple((field.owner, field.path) for field in conflict.fields)
    except Refused as refused:
        return Trial(refusal=refused.message)
    except ClusterUnavailable:
        raise
    except ClusterError as error:
        return Trial(refusal=str(error))
    if not scope.force:
        return Trial(conflicts=fields)
    forced = await cluster.apply(body, manager=manager, force=True, dry_run=True)
    return Trial(forced.object, conflicts=fields)


class _Reader:
    """Reads groups of objects, a bounded number at once."""

    def __init__(self, cluster: Cluster, identity: Identity) -> None:
        self._cluster = cluster
        self._identity = identity
        self._limit = asyncio.Semaphore(AT_ONCE)
        self.missing: set[tuple[str, str]] = set()

    async def read(self, group: _Group, keys: set[Key]) -> dict[Key, Live]:
        try:
            await self._cluster.resolve(group.kind)
        except UnknownKind:
            self.missing.add((group.kind.group, group.kind.kind))
            return dict.fromkeys(keys)
        found: dict[Key, Live] = {}
        if len(keys) >= LISTED_FROM:
            found = await self._list(group, self._identity.labels())
            if len(keys - found.keys()) >= LISTED_FROM:
                found = await self._list(group, None)
                return {key: found.get(key) for key in keys}
        rest = sorted(keys - found.keys())
        read = await asyncio.gather(*(self._get(key, group) for key in rest))
        return {key: found[key] for key in keys & found.keys()} | dict(zip(rest, read, strict=True))

    async def _list(self, group: _Group, labels: Mapping[str, str] | None) -> dict[Key, Live]:
        async with self._limit:
            try:
                bodies = await self._cluster.list(
                    group.kind, namespace=group.namespace or None, labels=labels
                )
            except Refused:
                return {}
        kind = group.kind
        return {
            Key(group.namespace, kind.kind, body["metadata"]["name"], kind.group): body for body in bodies
        }

    async def _get(self, key: Key, group: _Group) -> Live:
        async with self._limit:
            try:
                return await self._cluster.get(key, version=group.kind.version)
            except Refused:
                return NOT_VISIBLE
