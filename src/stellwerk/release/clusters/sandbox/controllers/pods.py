"""Pods that controllers make, and those that they take away."""

import hashlib
import uuid
from typing import Any

import msgspec

from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.sandbox.statuses import is_ready
from stellwerk.release.clusters.sandbox.world import World
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body


def template_hash(template: Body) -> str:
    """Return what tells one template of pods from another."""
    return hashlib.sha256(msgspec.json.encode(template, order="sorted")).hexdigest()[:10]


def random_suffix() -> str:
    """Return the end of a name that nobody has."""
    return uuid.uuid4().hex[:5]


def owned_by(owner: Body) -> list[dict[str, Any]]:
    """Return the reference to a controller."""
    metadata = owner["metadata"]
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def make_pod(world: World, owner: Body, name: str, labels: dict[str, str], **spec: Any) -> str:
    """Make a pod of an owner's template; return why that is refused, empty if it is not."""
    template = part(owner, "spec", "template")
    pod: Body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "labels": part(template, "metadata", "labels") | labels,
            "annotations": part(template, "metadata", "annotations"),
            "ownerReferences": owned_by(owner),
        },
        "spec": part(template, "spec") | spec,
    }
    try:
        world.make(pod)
    except Refused as refused:
        world.tell(owner, "FailedCreate", f"Error creating: {refused.message}", warns=True)
        return refused.message
    world.tell(owner, "SuccessfulCreate", f"Created pod: {name}")
    return ""


def remove_some(world: World, pods: list[Body], count: int) -> None:
    """Delete so many pods: those that are not ready first."""
    for pod in sorted(pods, key=is_ready)[: max(0, count)]:
        world.remove(pod)
