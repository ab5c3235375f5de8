"""Bundles for tests of what is concluded, from objects as a cluster would tell them."""

from typing import Any

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.model import Bundle, Change, Gap, LogText, Measure, ObjectRef, Series, Target

NAMESPACE = "shop"
AT = 1_790_000_000_000_000
BEFORE = "2026-09-21T14:00:00Z"
"""Some minutes before the bundle."""


def pod(name: str, *, owner: str = "", **status: Any) -> dict[str, Any]:
    """A pod that is not ready unless `ready` says so."""
    ready = status.pop("ready", False)
    spec = status.pop("spec", {"containers": [{"name": "main", "image": "app:1"}]})
    labels = status.pop("labels", {"app": owner or name})
    owners = (
        [{"kind": "ReplicaSet", "name": f"{owner}-1", "uid": f"{owner}-1", "controller": True}]
        if owner
        else []
    )
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": BEFORE}]
    return body(
        "Pod",
        name,
        metadata={"labels": labels, "ownerReferences": owners},
        spec=spec,
        status={"phase": "Running", "conditions": conditions, **status},
    )


def workload(
    name: str, *, replicas: int = 1, available: int = 0, template: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A Deployment and its ReplicaSet."""
    template = {"metadata": {"labels": {"app": name}}, "spec": template or {"containers": [{"name": "main"}]}}
    spec = {"replicas": replicas, "template": template}
    status = {"availableReplicas": available, "updatedReplicas": replicas, "observedGeneration": 1}
    owners = [{"kind": "Deployment", "name": name, "uid": name, "controller": True}]
    return [
        body("Deployment", name, spec=spec, status=status),
        body("ReplicaSet", f"{name}-1", metadata={"ownerReferences": owners}, spec=spec),
    ]


def service(name: str, *, ready: bool = True, selector: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """A Service and its Endpoints."""
    spec = {"selector": selector or {"app": name}, "ports": [{"port": 80}], "clusterIP": "10.0.0.9"}
    subsets = [{"addresses": [{"ip": "10.1.0.9"}]}] if ready else []
    return [body("Service", name, spec=spec), body("Endpoints", name, subsets=subsets)]


def event(kind: str, name: str, reason: str, message: str, *, count: int = 1) -> dict[str, Any]:
    """A warning about an object."""
    about = {"kind": kind, "name": name, "namespace": NAMESPACE, "uid": name}
    return body(
        "Event",
        f"{name}.{reason}",
        involvedObject=about,
        reason=reason,
        message=message,
        count=count,
        type="Warning",
        lastTimestamp=BEFORE,
    )


def body(kind: str, name: str, *, metadata: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """Any object of the namespace."""
    own = {"name": name, "namespace": NAMESPACE, "uid": name, "creationTimestamp": BEFORE, "generation": 1}
    return {"kind": kind, "apiVersion": "v1", "metadata": own | (metadata or {}), **parts}


def log(pod_name: str, text: str, *, previous: bool = False) -> LogText:
    """The log of a pod's container."""
    return LogText(namespace=NAMESPACE, pod=pod_name, container="main", previous=previous, text=text)


def measured(pod_name: str, measure: Measure, *values: float, until: int = AT) -> Series:
    """What was measured every half minute, the last at `until`; requests are those of the whole pod."""
    begin = until - (len(values) - 1) * 30_000_000
    points = tuple((begin + number * 30_000_000, value) for number, value in enumerate(values))
    container = "" if measure == "failed_share" else "main"
    return Series(measure=measure, pod=ref("Pod", pod_name), container=container, points=points)


def bundle(
    target: ObjectRef,
    *objects: dict[str, Any],
    logs: tuple[LogText, ...] = (),
    gaps: tuple[Gap, ...] = (),
    changes: tuple[Change, ...] = (),
    metrics: tuple[Series, ...] = (),
) -> Bundle:
    """Everything together."""
    return Bundle(
        target=Target(object=target),
        at=AT,
        objects=objects,
        logs=logs,
        gaps=gaps,
        changes=changes,
        metrics=metrics,
    )


def facts(*objects: dict[str, Any], logs: tuple[LogText, ...] = ()) -> Facts:
    """A bundle, read."""
    return Facts(bundle(ref("Deployment", "web"), *objects, logs=logs))


def ref(kind: str, name: str, namespace: str = NAMESPACE) -> ObjectRef:
    """The name of an object."""
    return ObjectRef(kind, namespace, name)
