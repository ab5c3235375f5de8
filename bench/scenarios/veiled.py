"""A cluster of which some kinds may not be read: what an account with few rights sees."""

from collections.abc import Mapping, Sequence
from typing import Any

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key


class VeiledCluster:
    """Refuses reads of some kinds; hands everything else on."""

    def __init__(self, cluster: Cluster, denied: Sequence[str]) -> None:
        self._cluster = cluster
        self._denied = frozenset(denied)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        """Read all objects of a kind."""
        self._check(kind.kind)
        return await self._cluster.list(kind, namespace=namespace, labels=labels)

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        """Read an object."""
        self._check(key.kind)
        return await self._cluster.get(key, version=version)

    def _check(self, kind: str) -> None:
        if kind in self._denied:
            raise Refused("forbidden", f"cannot list resource {kind}", 403)
