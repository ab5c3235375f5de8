"""Carries out bounded patches.

Every patch notes the order in an annotation of the object, so that an order that was cut off and is given
again sees that it was carried out.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from stellwerk.clock import MICROSECONDS
from stellwerk.inquiry.keys import key_of
from stellwerk.inquiry.remedies.executors.executor import Order, Performed
from stellwerk.inquiry.remedies.executors.patches import MAKERS, Patch
from stellwerk.inquiry.remedies.remedy import CannotRemedy
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Conflict, Gone, Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.kinship import made_by
from stellwerk.release.objects import Body
from stellwerk.release.ownership import annotation
from stellwerk.trust.scopes import Scope

MANAGER = "stellwerk-remedy"
ORDER = "stellwerk.dev/remedy"


class Patching:
    """See the module."""

    requires: Scope | None = None

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def preview(self, order: Order) -> tuple[str, ...]:
        """Say what would change, tried by the cluster itself. Raises CannotRemedy."""
        patch, live = await self._patch(order)
        await self._apply(order, patch, live, dry_run=True)
        return (f"{order.target}: {patch.said}",)

    async def perform(self, order: Order) -> Performed:
        """Change it, unless this order has. Raises CannotRemedy."""
        live = await self._live(order)
        if annotation(live, ORDER) == order.id:
            return Performed("it was changed already")
        patch, live = await self._patch(order)
        await self._apply(order, patch, live, dry_run=False)
        return Performed(patch.said)

    async def _patch(self, order: Order) -> tuple[Patch, Body]:
        live = await self._live(order)
        at = datetime.fromtimestamp(order.asked_at / MICROSECONDS, UTC).isoformat(timespec="seconds")
        made = await self._made(live) if order.executor == "workload.undo" else ()
        return MAKERS[order.executor](live, order.parameters, made, at), live

    async def _live(self, order: Order) -> Body:
        live = await self._cluster.get(key_of(order.target))
        if live is None:
            raise CannotRemedy("target_missing", f"{order.target} is not there")
        return live

    async def _made(self, live: Body) -> Sequence[Body]:
        namespace = live["metadata"].get("namespace")
        return made_by(live, await self._cluster.list(Kind("ReplicaSet", "apps"), namespace=namespace))

    async def _apply(self, order: Order, patch: Patch, live: Body, *, dry_run: bool) -> None:
        metadata = {
            "annotations": {ORDER: order.id},
            "resourceVersion": live["metadata"].get("resourceVersion"),
        }
        try:
            await self._cluster.patch(
                key_of(order.target),
                {**patch.body, "metadata": metadata},
                manager=MANAGER,
                dry_run=dry_run,
            )
        except (Refused, Gone, Conflict) as error:
            raise CannotRemedy("refused", str(error)) from error
