"""What of all that was read is kept: what is around the target, the nearest first, within the budget."""

from collections.abc import Sequence

from stellwerk.inquiry.evidence.changes import revisions_of
from stellwerk.inquiry.evidence.collection import Collection
from stellwerk.inquiry.evidence.masking import masked
from stellwerk.inquiry.evidence.meter import size_of
from stellwerk.inquiry.evidence.neighbourhood import Distances
from stellwerk.inquiry.evidence.trimming import outlined
from stellwerk.inquiry.facts.facts import event_at
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.model import Budget, Bundle, ObjectRef
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body

MOST_EVENTS = 20
"""About one object."""


def bundle_of(collection: Collection, budget: Budget) -> Bundle:
    """Choose what is kept of a collection, and mask it."""
    distances = collection.around()
    kept = [masked(body) for body in _kept(collection.objects, distances)]
    sizes = [size_of(body) for body in kept]
    size = sum(len(log.text) for log in collection.logs)
    chosen = []
    for body, length in zip(kept, sizes, strict=True):
        if size + length > budget.size_bytes:
            collection.meter.omit(str(ref_of(body)), ref_of(body))
            continue
        size += length
        chosen.append(body)
    sets = [body for body in chosen if body.get("kind") == "ReplicaSet"]
    revisions = [
        one for body in chosen if body.get("kind") == "Deployment" for one in revisions_of(body, sets)
    ]
    there = {ref_of(body) for body in chosen}
    changes = [one for one in collection.changes if one.object in there] + revisions
    return Bundle(
        target=collection.target,
        at=collection.at,
        objects=tuple(chosen),
        logs=tuple(collection.logs),
        changes=tuple(
            sorted(
                {(one.object, one.at, one.by, one.what): one for one in changes}.values(),
                key=lambda one: one.at,
            )
        ),
        metrics=tuple(collection.metrics),
        gaps=tuple(collection.meter.gaps),
        spent=collection.meter.spent(size),
    )


def _kept(objects: Sequence[Body], distances: Distances) -> list[Body]:
    """Choose what is kept, the nearest first."""
    kept: list[tuple[int, Body]] = []
    for body in objects:
        distance = distances.get(_about(body))
        if distance is not None or body.get("kind") in _ALWAYS:
            kept.append((distance or 0, body))
        elif body.get("kind") in _NAMES:
            kept.append((99, outlined(body) if body.get("kind") == "ConfigMap" else body))
    nearest = [body for _, body in sorted(kept, key=lambda one: one[0])]
    return [body for body in nearest if body.get("kind") != "Event"] + _latest_events(nearest)


def _latest_events(bodies: Sequence[Body]) -> list[Body]:
    """Choose the last events about each object: a ReplicaSet of many pods has told of each."""
    about: dict[ObjectRef, list[Body]] = {}
    for body in bodies:
        if body.get("kind") == "Event":
            about.setdefault(_about(body), []).append(body)
    return [event for events in about.values() for event in sorted(events, key=event_at)[-MOST_EVENTS:]]


_ALWAYS = frozenset(
    {
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
        "StorageClass",
        "Node",
    }
)
"""Kinds that are read only where something asked for them."""
_NAMES = frozenset({"Service", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim"})
"""Kinds that are kept for their names."""


def _about(body: Body) -> ObjectRef:
    if body.get("kind") == "Event":
        about = part(body, "involvedObject")
        return ref_of(
            {
                "kind": about.get("kind"),
                "metadata": {"name": about.get("name"), "namespace": about.get("namespace")},
            }
        )
    return ref_of(body)
