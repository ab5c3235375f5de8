"""What stands for a cluster where none is selected: everything else of the server works."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, NoReturn

from stellwerk.release.clusters.cluster import Applied, Changed, PatchType, Propagation
from stellwerk.release.clusters.errors import NotSelected
from stellwerk.release.clusters.kinds import Kind, KindInfo, Kinds
from stellwerk.release.objects import Body, Key


class UnselectedCluster:
    """Refuses everything, and says how to select a cluster."""

    name = "none"
    simulated = False

    async def version(self) -> str:
        """Raise NotSelected."""
        _refuse()

    async def kinds(self) -> Kinds:
        """Raise NotSelected."""
        _refuse()

    async def resolve(self, kind: Kind) -> KindInfo:
        """Raise NotSelected."""
        _refuse()

    async def get(self, key: Key, *, version: str | None = None) -> Body | None:
        """Raise NotSelected."""
        _refuse()

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Body]:
        """Raise NotSelected."""
        _refuse()

    async def apply(
        self,
        body: Body,
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
        before: Body | None = None,
    ) -> Applied:
        """Raise NotSelected."""
        _refuse()

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
        """Raise NotSelected."""
        _refuse()

    async def delete(
        self,
        key: Key,
        *,
        propagation: Propagation = "background",
        uid: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Raise NotSelected."""
        _refuse()

    async def watch(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Changed, None]:
        """Raise NotSelected."""
        _refuse()
        yield Changed("lost")

    async def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 20
    ) -> str:
        """Raise NotSelected."""
        _refuse()

    async def allowed(self, verb: str, kind: Kind, namespace: str | None = None) -> bool:
        """Raise NotSelected."""
        _refuse()

    async def close(self) -> None:
        """Do nothing."""


def _refuse() -> NoReturn:
    raise NotSelected
