"""From the names that an investigation uses to the keys that a cluster takes."""

from collections.abc import Mapping

from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.objects import Key, group_of

_GROUPS: Mapping[str, str] = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), "apps"),
    **dict.fromkeys(("Job", "CronJob"), "batch"),
    **dict.fromkeys(("Ingress", "NetworkPolicy", "IngressClass"), "networking.k8s.io"),
    "HorizontalPodAutoscaler": "autoscaling",
    "PodDisruptionBudget": "policy",
    "StorageClass": "storage.k8s.io",
    **dict.fromkeys(
        ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), "rbac.authorization.k8s.io"
    ),
}
"""Where a request names the kind alone."""


def key_of(ref: ObjectRef) -> Key:
    """Return the key of an object."""
    group = group_of(ref.api_version) if ref.api_version else _GROUPS.get(ref.kind, "")
    return Key(ref.namespace, ref.kind, ref.name, group)
