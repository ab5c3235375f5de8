"""StatefulSets: pods with numbers, one after the other, each with claims of its own."""

from typing import Any

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.sandbox.controllers.pods import make_pod, template_hash
from stellwerk.release.clusters.sandbox.statuses import is_ready
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import entries, part, status_of
from stellwerk.release.objects import Body, Key

REVISION = "controller-revision-hash"


def control(world: World, body: Body) -> None:
    """Make the next pod, replace the next old one, or take the last away; one at a time unless parallel."""
    name, wanted = body["metadata"]["name"], int(body["spec"]["replicas"])
    revision = f"{name}-{template_hash(body['spec']['template'])}"
    one_by_one = part(body, "spec").get("podManagementPolicy") != "Parallel"
    for number in range(wanted):
        pod = _pod(world, body, number)
        if pod is None:
            _make_claims(world, body, number)
            make_pod(world, body, f"{name}-{number}", {REVISION: revision}, **_volumes(body, number))
        if one_by_one and (pod is None or not is_ready(pod)) and not _is_stale(pod, revision):
            break
    else:
        _replace_one(world, body, revision)
    for pod in _pods(world, body):
        if int(pod["metadata"]["name"].rpartition("-")[2]) >= wanted:
            world.remove(pod)
    _report(world, body, revision)


def _replace_one(world: World, body: Body, revision: str) -> None:
    """Take the last pod of an old template away, once those after it are ready."""
    strategy = part(body, "spec", "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return
    first = int(part(strategy, "rollingUpdate").get("partition") or 0)
    for number in reversed(range(first, int(body["spec"]["replicas"]))):
        pod = _pod(world, body, number)
        if pod is None:
            return
        if _is_stale(pod, revision):
            world.remove(pod)
            return
        if not is_ready(pod):
            return


def _report(world: World, body: Body, revision: str) -> None:
    pods, wanted = _pods(world, body), int(body["spec"]["replicas"])
    new = [pod for pod in pods if not _is_stale(pod, revision)]
    ready = sum(map(is_ready, pods))
    done = len(new) == len(pods) == wanted
    status: dict[str, Any] = {
        "replicas": len(pods),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "updatedReplicas": len(new),
        "updateRevision": revision,
        "currentRevision": revision if done else status_of(body).get("currentRevision", revision),
    }
    world.report(body, status)


def _pods(world: World, body: Body) -> list[Body]:
    return [one for one in world.table.made_by(body, "Pod") if not one["metadata"].get("deletionTimestamp")]


def _pod(world: World, body: Body, number: int) -> Body | None:
    metadata = body["metadata"]
    return world.table.get(Key(metadata["namespace"], "Pod", f"{metadata['name']}-{number}"))


def _is_stale(pod: Body | None, revision: str) -> bool:
    return pod is not None and part(pod, "metadata", "labels").get(REVISION) != revision


def _claims(body: Body, number: int) -> list[tuple[str, Body]]:
    """List a pod's own claims: the name of the volume, and the claim."""
    metadata, found = body["metadata"], []
    for template in entries(part(body, "spec"), "volumeClaimTemplates"):
        volume = part(template, "metadata").get("name", "")
        named = part(template, "metadata") | {
            "name": f"{volume}-{metadata['name']}-{number}",
            "namespace": metadata["namespace"],
        }
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
        found.append((volume, claim | {"metadata": named, "spec": part(template, "spec")}))
    return found


def _make_claims(world: World, body: Body, number: int) -> None:
    for _, claim in _claims(body, number):
        metadata = claim["metadata"]
        if world.table.get(Key(metadata["namespace"], "PersistentVolumeClaim", metadata["name"])) is None:
            try:
                world.make(claim)
            except Refused as refused:
                world.tell(body, "FailedCreate", f"create Claim: {refused.message}", warns=True)


def _volumes(body: Body, number: int) -> dict[str, Any]:
    own = [
        {"name": volume, "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        for volume, claim in _claims(body, number)
    ]
    return {"volumes": [*entries(part(body, "spec", "template", "spec"), "volumes"), *own]} if own else {}
