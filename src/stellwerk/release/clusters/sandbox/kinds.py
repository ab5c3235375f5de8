"""The kinds that the sandbox serves: those of the start, and what definitions add."""

from stellwerk.release.clusters.kinds import KindInfo
from stellwerk.release.objects import Body

_VERBS = frozenset({"get", "list", "watch", "create", "update", "patch", "delete"})

_SERVED = {
    "v1": {
        "Namespace": ("namespaces", False),
        "Node": ("nodes", False),
        "PersistentVolume": ("persistentvolumes", False),
        "ConfigMap": ("configmaps", True),
        "Endpoints": ("endpoints", True),
        "Event": ("events", True),
        "LimitRange": ("limitranges", True),
        "PersistentVolumeClaim": ("persistentvolumeclaims", True),
        "Pod": ("pods", True),
        "ResourceQuota": ("resourcequotas", True),
        "Secret": ("secrets", True),
        "Service": ("services", True),
        "ServiceAccount": ("serviceaccounts", True),
    },
    "apps/v1": {
        "DaemonSet": ("daemonsets", True),
        "Deployment": ("deployments", True),
        "ReplicaSet": ("replicasets", True),
        "StatefulSet": ("statefulsets", True),
    },
    "batch/v1": {"CronJob": ("cronjobs", True), "Job": ("jobs", True)},
    "autoscaling/v2": {"HorizontalPodAutoscaler": ("horizontalpodautoscalers", True)},
    "autoscaling/v1": {"HorizontalPodAutoscaler": ("horizontalpodautoscalers", True)},
    "networking.k8s.io/v1": {"Ingress": ("ingresses", True), "NetworkPolicy": ("networkpolicies", True)},
    "policy/v1": {"PodDisruptionBudget": ("poddisruptionbudgets", True)},
    "rbac.authorization.k8s.io/v1": {
        "ClusterRole": ("clusterroles", False),
        "ClusterRoleBinding": ("clusterrolebindings", False),
        "Role": ("roles", True),
        "RoleBinding": ("rolebindings", True),
    },
    "scheduling.k8s.io/v1": {"PriorityClass": ("priorityclasses", False)},
    "storage.k8s.io/v1": {"StorageClass": ("storageclasses", False)},
    "apiextensions.k8s.io/v1": {"CustomResourceDefinition": ("customresourcedefinitions", False)},
}


def built_in() -> list[KindInfo]:
    """Return the kinds of a new cluster."""
    return [
        _info(api_version, kind, plural, namespaced)
        for api_version, kinds in _SERVED.items()
        for kind, (plural, namespaced) in kinds.items()
    ]


def defined_by(definition: Body) -> list[KindInfo]:
    """Return the kinds that a CustomResourceDefinition adds."""
    spec = definition["spec"]
    names, namespaced = spec["names"], spec.get("scope") != "Cluster"
    return [
        _info(f"{spec['group']}/{version['name']}", names["kind"], names["plural"], namespaced)
        for version in spec.get("versions") or ()
        if version.get("served", True)
    ]


def _info(api_version: str, kind: str, plural: str, namespaced: bool) -> KindInfo:
    group, _, version = api_version.rpartition("/")
    return KindInfo(kind, group, version, plural, namespaced, _VERBS)
