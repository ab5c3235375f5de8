"""Names of objects: of those that are there, and of those that only others speak of."""

from collections.abc import Mapping
from typing import Any

from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body

API_VERSIONS = {
    "CronJob": "batch/v1",
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "Ingress": "networking.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
    "Job": "batch/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "ReplicaSet": "apps/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "StatefulSet": "apps/v1",
    "StorageClass": "storage.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
}
"""Of objects that are not there, so that they can be named in full; every other kind is of the core."""


def ref_of(body: Mapping[str, Any]) -> ObjectRef:
    """Name an object. Without its version: one object has one name, however it was read."""
    metadata = part(body, "metadata")
    return ObjectRef(
        str(body.get("kind", "")), str(metadata.get("namespace") or ""), str(metadata.get("name", ""))
    )


def named(kind: str, namespace: str, name: str) -> ObjectRef:
    """Name an object that may not be there."""
    return ObjectRef(kind, namespace, name)


def in_full(ref: ObjectRef, body: Body | None) -> ObjectRef:
    """Add the version in which it is, or would be, served."""
    known = body.get("apiVersion") if body else None
    return ref._replace(api_version=str(known or API_VERSIONS.get(ref.kind, "v1")))
