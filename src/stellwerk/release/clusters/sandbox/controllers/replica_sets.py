"""ReplicaSets: as many pods as they say."""

from typing import Any

from stellwerk.release.clusters.sandbox.controllers.pods import make_pod, random_suffix, remove_some
from stellwerk.release.clusters.sandbox.statuses import going, is_ready, said, since
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.objects import Body


def control(world: World, body: Body) -> None:
    """Make what is missing, and take away what is too much."""
    pods = going(world.table.made_by(body, "Pod"))
    wanted = int(body["spec"]["replicas"])
    refusal = ""
    for _ in range(wanted - len(pods)):
        if refusal := make_pod(world, body, f"{body['metadata']['name']}-{random_suffix()}", {}):
            break
    remove_some(world, pods, len(pods) - wanted)
    pods = going(world.table.made_by(body, "Pod"))
    ready = sum(map(is_ready, pods))
    status: dict[str, Any] = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
    if refusal:
        failure = [said("ReplicaFailure", reason="FailedCreate", message=refusal)]
        status["conditions"] = since(body, failure, world.now)
    world.report(body, status)
