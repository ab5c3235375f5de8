"""Deployments: a ReplicaSet for each template of pods, and the way from the old ones to the newest.

A rollout makes at most so many pods more, and leaves at most so many fewer ready ones, as the strategy
allows. So a new template that does not get ready stops it halfway, with the old pods still at work.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from stellwerk.release.clusters.sandbox.controllers.pods import owned_by, template_hash
from stellwerk.release.clusters.sandbox.statuses import said, since
from stellwerk.release.clusters.sandbox.storage import written
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import condition, entries, instant, part, status_of
from stellwerk.release.kinship import REVISION
from stellwerk.release.objects import Body, Key

HASH = "pod-template-hash"


def control(world: World, body: Body) -> None:
    """Go one step on with the rollout, and say how far it is."""
    own = world.table.made_by(body, "ReplicaSet")
    newest = next((one for one in own if one["metadata"]["name"] == _name(body)), None)
    old = [one for one in own if one is not newest]
    if not part(body, "spec").get("paused") or newest is not None:
        newest = _newest(world, body, newest, old)
        if part(part(body, "spec"), "strategy").get("type") == "Recreate":
            _recreate(world, body, newest, old)
        else:
            _roll(world, body, newest, old)
        body = world.change(_revised(body, newest))
    _report(world, body)


def _name(body: Body) -> str:
    return f"{body['metadata']['name']}-{template_hash(body['spec']['template'])}"


def _newest(world: World, body: Body, newest: Body | None, old: Sequence[Body]) -> Body:
    """Return the ReplicaSet of the template, after making it, or giving it the highest revision again."""
    highest = max(map(_revision, old), default=0)
    if newest is not None:
        return newest if _revision(newest) > highest else world.change(_with_revision(newest, highest + 1))
    mark, template = {HASH: template_hash(body["spec"]["template"])}, body["spec"]["template"]
    labels = part(template, "metadata", "labels") | mark
    selector = part(body, "spec", "selector")
    made: Body = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": _name(body),
            "namespace": body["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": owned_by(body),
        },
        "spec": {
            "replicas": 0,
            "selector": selector | {"matchLabels": part(selector, "matchLabels") | mark},
            "template": template | {"metadata": part(template, "metadata") | {"labels": labels}},
        },
    }
    world.make(_with_revision(made, highest + 1))
    key = Key(body["metadata"]["namespace"], "ReplicaSet", _name(body), "apps")
    return world.table.get(key) or made


def _roll(world: World, body: Body, newest: Body, old: Sequence[Body]) -> None:
    wanted = int(body["spec"]["replicas"])
    surge, missing = _allowances(body, wanted)
    total = _replicas(newest) + sum(map(_replicas, old))
    if _replicas(newest) > wanted:
        newest = _scale(world, body, newest, wanted)
    else:
        more = min(wanted - _replicas(newest), max(0, wanted + surge - total))
        newest = _scale(world, body, newest, _replicas(newest) + more)
    least = wanted - missing
    spare = _replicas(newest) + sum(map(_replicas, old)) - least - (_replicas(newest) - _ready(newest))
    ready_spare = _ready(newest) + sum(map(_ready, old)) - least
    for one in sorted(old, key=_revision):
        unready = min(_replicas(one) - _ready(one), max(0, spare))
        fewer = unready + min(_ready(one), max(0, min(spare - unready, ready_spare)))
        spare, ready_spare = spare - fewer, ready_spare - (fewer - unready)
        _scale(world, body, one, _replicas(one) - fewer)
    _forget_oldest(world, body, old)


def _recreate(world: World, body: Body, newest: Body, old: Sequence[Body]) -> None:
    for one in old:
        _scale(world, body, one, 0)
    if not any(world.table.made_by(one, "Pod") for one in old):
        _scale(world, body, newest, int(body["spec"]["replicas"]))
    _forget_oldest(world, body, old)


def _allowances(body: Body, wanted: int) -> tuple[int, int]:
    """Return how many pods may be too many, and how many may be missing."""
    rolling = part(body, "spec", "strategy", "rollingUpdate")
    surge = _share(rolling.get("maxSurge", "25%"), wanted, up=True)
    missing = _share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return (surge, missing) if surge or missing else (0, 1)


def _share(text: Any, wanted: int, *, up: bool) -> int:
    if not isinstance(text, str) or not text.endswith("%"):
        return int(text)
    share = wanted * int(text[:-1]) / 100
    return math.ceil(share) if up else math.floor(share)


def _scale(world: World, body: Body, one: Body, replicas: int) -> Body:
    if _replicas(one) == replicas:
        return one
    way = "up" if replicas > _replicas(one) else "down"
    world.tell(body, "ScalingReplicaSet", f"Scaled {way} replica set {one['metadata']['name']} to {replicas}")
    return world.change(one | {"spec": one["spec"] | {"replicas": replicas}})


def _forget_oldest(world: World, body: Body, old: Sequence[Body]) -> None:
    kept = int(body["spec"].get("revisionHistoryLimit", 10))
    empty = [one for one in sorted(old, key=_revision) if not _replicas(one) and not _pods(one)]
    for one in empty[: max(0, len(empty) - kept)]:
        world.remove(one)


def _report(world: World, body: Body) -> None:
    own = world.table.made_by(body, "ReplicaSet")
    newest = next((one for one in own if one["metadata"]["name"] == _name(body)), None)
    wanted, ready = int(body["spec"]["replicas"]), sum(map(_ready, own))
    status: dict[str, Any] = {
        "replicas": sum(map(_pods, own)),
        "updatedReplicas": _pods(newest) if newest else 0,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
    }
    complete = status["updatedReplicas"] == status["replicas"] == wanted <= ready
    enough = ready >= wanted - _allowances(body, wanted)[1]
    conditions = [
        said("Available", enough, "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"),
        _progress(world, body, status, complete=complete),
        *(one for one in entries(status_of(newest or {}), "conditions") if one["type"] == "ReplicaFailure"),
    ]
    world.report(body, status | {"conditions": since(body, conditions, world.now)})


def _progress(world: World, body: Body, status: dict[str, Any], *, complete: bool) -> dict[str, Any]:
    """Say whether the rollout goes on: what does not move within its time has failed."""
    name = body["metadata"]["name"]
    if complete:
        text = f'ReplicaSet "{_name(body)}" has successfully progressed.'
        return said("Progressing", reason="NewReplicaSetAvailable", message=text) | {
            "lastUpdateTime": _moved_at(body) or written(world.now)
        }
    counts = ("replicas", "updatedReplicas", "readyReplicas")
    same = all(status_of(body).get(one) == status[one] for one in counts)
    # After a rollout that was complete a new one begins, with its own time.
    same = same and condition(body, "Progressing").reason != "NewReplicaSetAvailable"
    moved_at = (_moved_at(body) if same else "") or written(world.now)
    limit = timedelta(seconds=int(body["spec"].get("progressDeadlineSeconds", 600)))
    left = (instant(moved_at) or datetime.max.replace(tzinfo=world.now.tzinfo)) + limit - world.now
    if left <= timedelta():
        text = f'Deployment "{name}" exceeded its progress deadline'
        found = said("Progressing", False, "ProgressDeadlineExceeded", text)
    else:
        world.again(left.total_seconds())
        found = said(
            "Progressing", reason="ReplicaSetUpdated", message=f'ReplicaSet "{_name(body)}" is progressing.'
        )
    return found | {"lastUpdateTime": moved_at}


def _moved_at(body: Body) -> str:
    for one in entries(status_of(body), "conditions"):
        if one.get("type") == "Progressing":
            return str(one.get("lastUpdateTime") or "")
    return ""


def _revised(body: Body, newest: Body) -> Body:
    return _with_revision(body, _revision(newest))


def _with_revision(body: Body, revision: int) -> Body:
    notes = part(body, "metadata", "annotations") | {REVISION: str(revision)}
    return body | {"metadata": body["metadata"] | {"annotations": notes}}


def _revision(body: Body) -> int:
    return int(part(body, "metadata", "annotations").get(REVISION, 0))


def _replicas(one: Body) -> int:
    return int(one["spec"]["replicas"])


def _pods(one: Body) -> int:
    return int(status_of(one).get("replicas") or 0)


def _ready(one: Body) -> int:
    return int(status_of(one).get("readyReplicas") or 0)
