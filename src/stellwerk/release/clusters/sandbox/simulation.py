"""One look of all controllers at everything, in an order in which most is settled in one look.

What a controller finds right it leaves alone, so looking again costs a little time and changes nothing. Kinds
that nothing is done about, such as ConfigMaps, are not even looked at.
"""

from collections.abc import Callable

from stellwerk.release.clusters.sandbox import kubelet
from stellwerk.release.clusters.sandbox.controllers import (
    daemon_sets,
    deployments,
    jobs,
    replica_sets,
    serving,
    stateful_sets,
)
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.objects import Body, key_of

CONTROLLERS: tuple[tuple[str, str, Callable[[World, Body], None]], ...] = (
    ("", "Namespace", serving.control_namespace),
    ("apiextensions.k8s.io", "CustomResourceDefinition", serving.control_definition),
    ("", "PersistentVolumeClaim", serving.control_claim),
    ("apps", "Deployment", deployments.control),
    ("apps", "StatefulSet", stateful_sets.control),
    ("apps", "DaemonSet", daemon_sets.control),
    ("apps", "ReplicaSet", replica_sets.control),
    ("batch", "Job", jobs.control),
    ("", "Pod", kubelet.control),
    ("", "Endpoints", serving.control_endpoints),
    ("", "Service", serving.control_service),
    ("policy", "PodDisruptionBudget", serving.control_budget),
    ("", "ResourceQuota", serving.control_quota),
)
"""By group and kind."""


def simulate(world: World) -> None:
    """Let every controller look at every object of its kind."""
    for group, kind, control in CONTROLLERS:
        for body in world.table.of(kind, group):
            live = world.table.get(key_of(body))  # a controller before may have changed it, or taken it away
            if live is not None and (kind == "Namespace" or not _is_ending(live)):
                control(world, live)


def _is_ending(body: Body) -> bool:
    return "deletionTimestamp" in body["metadata"]
