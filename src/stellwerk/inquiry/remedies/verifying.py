"""Did the health return? What was noticed is looked at again, until it is well for a while."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from stellwerk.clock import Clock
from stellwerk.inquiry.keys import key_of
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.release.operations.settling import Settling

STEADY_S = 3.0
"""A program that crashes is ready for a moment first."""
JUDGED = frozenset(
    {
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "Job",
        "CronJob",
        "Service",
        "PersistentVolumeClaim",
        "Node",
    }
)
"""Kinds whose health says something; a Pod is replaced by a remedy, and a ConfigMap is always well."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it is now; None where nobody can tell."""

    healthy: bool | None
    message: str


class Verifier:
    """See the module."""

    def __init__(self, cluster: Cluster, clock: Clock, *, limit_s: float, steady_s: float = STEADY_S) -> None:
        self._cluster = cluster
        self._settling = Settling(cluster, clock)
        self._limit_s = limit_s
        self._steady_s = steady_s

    async def verify(self, candidates: Sequence[ObjectRef]) -> Verdict:
        """Wait until the first of these that can be judged is well, at most for the limit."""
        ref = next((one for one in candidates if one.kind in JUDGED), None)
        if ref is None:
            return Verdict(None, "nothing of it has a health that could be judged")
        try:
            return await self._wait(ref)
        except ClusterError as error:
            return Verdict(None, f"the cluster could not be asked: {error}")

    async def _wait(self, ref: ObjectRef) -> Verdict:
        key = key_of(ref)
        live = await self._cluster.get(key)
        if live is None:
            return Verdict(False, f"{ref} is not there")
        told = "nothing is known yet"
        well_since: float | None = None
        turn = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limit_s):
                changes = self._settling.follow({key: live})
                async with contextlib.aclosing(changes):
                    async for standings in changes:
                        standing = standings[key]
                        told = f"{standing.reason}: {standing.message}".lstrip(": ") or told
                        if not standing.healthy:
                            well_since = None
                        elif well_since is None:
                            well_since = turn.time()
                        elif turn.time() - well_since >= self._steady_s:
                            return Verdict(True, f"{ref} is healthy")
        return Verdict(False, f"{ref} is not healthy after {self._limit_s:g} s: {told}")
