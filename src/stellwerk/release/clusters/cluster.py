"""A cluster, as the product uses it: objects are read, applied, deleted and watched.

Two things stand behind it, under one contract suite: a real Kubernetes and a simulation. Values are
JSON objects as Kubernetes writes them, and those that were answered are not to be changed. Every method
may raise ClusterUnavailable and NotSelected, those that name a kind UnknownKind, and Refused where the
cluster says no. What an implementation can repeat it has repeated before it raises.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from stellwerk.release.clusters.kinds import Kind, KindInfo, Kinds
from stellwerk.release.objects import Body, Key

ChangeType = Literal["added", "modified", "deleted", "listed", "lost"]
"""`listed`: everything that was there has been told. `lost`: the cluster is away; `listed` follows when what
was missed has been told."""
Propagation = Literal["foreground", "background", "orphan"]
PatchType = Literal["merge", "strategic", "json"]


@dataclass(frozen=True, slots=True)
class Applied:
    """An object as the cluster holds it after an apply, or would after a dry one."""

    object: Body
    created: bool
    changed: bool
    """Whether it differs from what was there before; True where the caller did not say what was there."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One thing that a watch tells."""

    type: ChangeType
    object: Body = field(default_factory=dict)
    """Empty for `listed` and `lost`. Of a deleted object, as it was last."""


class Cluster(Protocol):
    """Where applications are released to."""

    @property
    def name(self) -> str:
        """What people know it by."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether nothing of it is real."""
        ...

    async def version(self) -> str:
        """Return its version: `v1.29.3`."""
        ...

    async def kinds(self) -> Kinds:
        """Return the kinds that it serves, as it last said."""
        ...

    async def resolve(self, kind: Kind) -> KindInfo:
        """Return how a kind is served; one that is not known is asked for afresh. Raises UnknownKind."""
        ...

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        """Read an object, in this version of its group; None if it is not there."""
        ...

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        """Read all objects of a kind that carry these labels; `namespace` None means all of them."""
        ...

    async def apply(
        self,
        body: Body,
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        before: Body | None = None,
    ) -> Applied:
        """Make an object be as this text says, and this manager own what it says; idempotent.

        `before`: the object as it was read, so that the answer can say whether it changed. Fields that the
        manager's last text had and this one has not are removed. Raises Conflict unless `force` is set.
        """
        ...

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
        """Change an object that is there, and return it; a `json` patch is a list. Raises Gone."""
        ...

    async def delete(
        self,
        key: Key,
        *,
        propagation: Propagation = "background",
        uid: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Delete an object and, unless `orphan`, what belongs to it. Return False if it was not there.

        The object may be seen for a while, with its `deletionTimestamp`. `uid`: a namesake with another one
        is left alone, which counts as not there.
        """
        ...

    def watch(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Changed, None]:
        """Tell all objects as `added`, then `listed`, then every change, without end and gap.

        Never raises ClusterUnavailable: see `lost`. An object of which changes were missed is told once, as
        it is now. Close it (`contextlib.aclosing`).
        """
        ...

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 20
    ) -> str:
        """Return the last lines of a container, or of its run before; empty if it wrote none. Raises Gone."""
        ...

    async def allowed(self, verb: str, kind: Kind, namespace: str | None = None) -> bool:
        """Whether our principal may do this; `namespace` None means in all of them."""
        ...

    async def close(self) -> None:
        """Let go of all connections; idempotent."""
        ...
