"""DaemonSets: a pod on each node that they may run on."""

from stellwerk.release.clusters.sandbox.controllers.pods import make_pod, random_suffix, template_hash
from stellwerk.release.clusters.sandbox.scheduler import takes
from stellwerk.release.clusters.sandbox.statuses import going, is_ready
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body

REVISION = "controller-revision-hash"
GENERATION = "pod-template-generation"


def control(world: World, body: Body) -> None:
    """Make what is missing, and replace one old pod at a time."""
    template = body["spec"]["template"]
    marks = {REVISION: template_hash(template), GENERATION: str(body["metadata"]["generation"])}
    nodes = [one["metadata"]["name"] for one in world.table.of("Node") if takes(one, part(template, "spec"))]
    pods = {part(pod, "spec").get("nodeName"): pod for pod in going(world.table.made_by(body, "Pod"))}
    for node in nodes:
        if node not in pods:
            make_pod(world, body, f"{body['metadata']['name']}-{random_suffix()}", marks, nodeName=node)
    for node, pod in pods.items():
        if node not in nodes:
            world.remove(pod)
    new = [pod for pod in pods.values() if part(pod, "metadata", "labels").get(REVISION) == marks[REVISION]]
    if all(map(is_ready, new)):
        for pod in [pod for pod in pods.values() if pod not in new][:1]:
            world.remove(pod)
    _report(world, body, len(nodes), marks[REVISION])


def _report(world: World, body: Body, wanted: int, revision: str) -> None:
    pods = going(world.table.made_by(body, "Pod"))
    ready = sum(map(is_ready, pods))
    status = {
        "desiredNumberScheduled": wanted,
        "currentNumberScheduled": len(pods),
        "updatedNumberScheduled": sum(
            part(pod, "metadata", "labels").get(REVISION) == revision for pod in pods
        ),
        "numberReady": ready,
        "numberAvailable": ready,
        "numberMisscheduled": 0,
    }
    world.report(body, status)
