"""Comparing objects with what was applied: the cluster itself decides, by a dry run, what would change."""

from collections.abc import Collection, Iterable, Mapping

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.inventory import Inventory
from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.operations.looking import look, try_out
from stellwerk.release.ownership import Identity
from stellwerk.release.plan import Scope, plan
from stellwerk.release.watching.drift import Applied, Drift, drift_of, judgeable, scaled_by


async def examine(
    cluster: Cluster,
    identity: Identity,
    wanted: Iterable[Manifest],
    inventory: Inventory,
    *,
    scalers: Collection[Body] = (),
) -> Mapping[Key, Drift | None]:
    """Return how each object that was applied is other than that; None for one that is not.

    `scalers`: autoscalers whose targets' numbers of replicas are theirs. Raises ClusterError.
    """
    judged = judgeable(wanted, inventory)
    if not judged:
        return {}
    services = frozenset(manifest.service for manifest in judged)
    # By force, because what somebody else set is what we ask for; nothing but dry runs comes of it.
    scope = Scope(identity, services, force=True, prune=False)
    known_to_us = Inventory({one.key: inventory.entries[one.key] for one in judged}, inventory.serial)
    known = await look(cluster, judged, known_to_us, scope)
    known = await try_out(cluster, judged, known, scope, new=False)
    applied = Applied(identity, scaled_by(scalers))
    steps = plan(judged, known, scope, {}).steps
    return {step.key: drift_of(step, known.live.get(step.key), applied) for step in steps if step.manifest}
