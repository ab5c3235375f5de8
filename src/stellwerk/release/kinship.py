"""Which objects were made for which: a Deployment's ReplicaSet, and its pods."""

from collections.abc import Sequence

from stellwerk.release.conditions import entries, part, status_of
from stellwerk.release.objects import Body

REVISION = "deployment.kubernetes.io/revision"


def pods_of(workload: Body, pods: Sequence[Body], replica_sets: Sequence[Body] = ()) -> list[Body]:
    """List the pods of a workload's newest revision:

    those of an older one say nothing about what is wanted.
    """
    match workload.get("kind"):
        case "Deployment":
            newest = newest_replica_set(workload, replica_sets)
            return made_by(newest, pods) if newest is not None else []
        case "StatefulSet":
            revision = status_of(workload).get("updateRevision")
            return [
                pod for pod in made_by(workload, pods) if _label(pod, "controller-revision-hash") == revision
            ]
        case "DaemonSet":
            generation = str(part(workload, "metadata").get("generation", ""))
            own = made_by(workload, pods)
            current = [pod for pod in own if _label(pod, "pod-template-generation") == generation]
            return current or own
        case _:
            return made_by(workload, pods)


def newest_replica_set(deployment: Body, replica_sets: Sequence[Body]) -> Body | None:
    """Return the ReplicaSet of a Deployment's newest revision; None before there is one."""
    own = made_by(deployment, replica_sets)
    return max(own, key=_revision, default=None)


def made_by(owner: Body, bodies: Sequence[Body]) -> list[Body]:
    """List what this very object made."""
    uid = part(owner, "metadata").get("uid")
    return [
        body
        for body in bodies
        if any(one.get("uid") == uid for one in entries(part(body, "metadata"), "ownerReferences"))
    ]


def _revision(replica_set: Body) -> int:
    text = str(part(replica_set, "metadata", "annotations").get(REVISION, "0"))
    return int(text) if text.isdigit() else 0


def _label(body: Body, name: str) -> str | None:
    value = part(body, "metadata", "labels").get(name)
    return None if value is None else str(value)
