"""Reads of a cluster within a budget: what is spent is counted, what could not be read is remembered."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

import msgspec

from stellwerk.inquiry.model import Budget, Gap, ObjectRef, Spent
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterUnavailable, Gone, Refused, UnknownKind
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key

T = TypeVar("T")


class Meter:
    """One investigation's way to a cluster. Nothing raises but NotSelected; see `gaps` and `failure`."""

    def __init__(self, cluster: Cluster, budget: Budget) -> None:
        self._cluster = cluster
        self._budget = budget
        self._now = asyncio.get_running_loop().time
        self._began_at = self._now()
        self.calls = 0
        self.answers = 0
        """Reads that the cluster answered, be it with a refusal."""
        self.gaps: list[Gap] = []
        self.failure: ClusterUnavailable | None = None
        """The last one, if the cluster could not be reached."""

    @property
    def calls_left(self) -> int:
        """How many reads the budget still has."""
        return max(0, self._budget.calls - self.calls)

    @property
    def seconds(self) -> float:
        """How long it has taken until now."""
        return self._now() - self._began_at

    def spent(self, size_bytes: int) -> Spent:
        """Return what was spent."""
        return Spent(calls=self.calls, size_bytes=size_bytes, seconds=round(self.seconds, 3))

    async def list(self, kind: Kind, namespace: str | None) -> Sequence[Body]:
        """Read all objects of a kind in a namespace, or of the cluster; empty where they cannot be read."""
        where = ObjectRef(kind.kind, namespace or "", "")
        what = f"{kind.kind} in {namespace}" if namespace else kind.kind
        return await self._read(what, where, self._cluster.list(kind, namespace=namespace)) or ()

    async def get(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """Read one object; None where it is not there or cannot be read."""
        ref = ObjectRef(kind.kind, namespace, name)
        key = Key(namespace, kind.kind, name, kind.group)
        return await self._read(str(ref), ref, self._cluster.get(key, version=kind.version))

    async def logs(self, namespace: str, pod: str, container: str, *, previous: bool) -> str | None:
        """Read the last lines of a container; None where they cannot be read."""
        which = "previous log" if previous else "log"
        call = self._cluster.logs(namespace, pod, container, previous=previous, tail=self._budget.log_lines)
        return await self._read(f"{which} of {container} in {namespace}/{pod}", None, call)

    def omit(self, what: str, ref: ObjectRef | None = None) -> None:
        """Say that something was left out because the budget is spent."""
        self.gaps.append(Gap(what=what, why="budget", object=ref))

    async def _read(self, what: str, ref: ObjectRef | None, call: Awaitable[T]) -> T | None:
        left_s = self._budget.seconds - self.seconds
        if self.calls_left == 0 or left_s <= 0:
            _discard(call)
            self.omit(what, ref)
            return None
        self.calls += 1
        try:
            async with asyncio.timeout(left_s):
                answer = await call
        except TimeoutError:
            self.omit(what, ref)
        except UnknownKind:
            self.answers += 1  # what a cluster does not serve is not there
        except Gone:
            self.answers += 1
            self.gaps.append(Gap(what=what, why="gone", object=ref))
        except Refused as refusal:
            self.answers += 1
            self.gaps.append(Gap(what=what, why=f"{refusal.reason}: {refusal.message}", object=ref))
        except ClusterUnavailable as failure:
            self.failure = failure
            self.gaps.append(Gap(what=what, why=f"unavailable: {failure.detail}", object=ref))
        else:
            self.answers += 1
            return answer
        return None


def size_of(body: Body) -> int:
    """Return how many bytes an object takes as JSON."""
    return len(msgspec.json.encode(body))


def _discard(call: Awaitable[object]) -> None:
    """Close a coroutine that is not run, so that it is no warning."""
    if hasattr(call, "close"):
        call.close()
