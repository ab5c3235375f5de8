"""What is read around a target, as kinds."""

from stellwerk.release.clusters.kinds import Kind

NAMESPACE_KINDS = (
    Kind("Pod"),
    Kind("Event"),
    Kind("Service"),
    Kind("Endpoints"),
    Kind("ConfigMap"),
    Kind("PersistentVolumeClaim"),
    Kind("ServiceAccount"),
    Kind("ResourceQuota"),
    Kind("LimitRange"),
    Kind("Deployment", "apps"),
    Kind("ReplicaSet", "apps"),
    Kind("StatefulSet", "apps"),
    Kind("DaemonSet", "apps"),
    Kind("Job", "batch"),
    Kind("CronJob", "batch"),
    Kind("HorizontalPodAutoscaler", "autoscaling"),
    Kind("NetworkPolicy", "networking.k8s.io"),
    Kind("Ingress", "networking.k8s.io"),
    Kind("PodDisruptionBudget", "policy"),
)
"""Lists of the target's namespace. Secrets are not among them: those that are named are asked for by name."""

NEIGHBOUR_KINDS = (
    Kind("Pod"),
    Kind("Event"),
    Kind("Service"),
    Kind("Endpoints"),
    Kind("Deployment", "apps"),
    Kind("ReplicaSet", "apps"),
    Kind("StatefulSet", "apps"),
)
"""Lists of another namespace in which something that the target needs runs."""
MOST_NEIGHBOURS = 2
"""Namespaces beside the target's: more would cost more calls than they explain."""

BY_NAME = {
    "Secret": Kind("Secret"),
    "PersistentVolume": Kind("PersistentVolume"),
    "StorageClass": Kind("StorageClass", "storage.k8s.io"),
    "PriorityClass": Kind("PriorityClass", "scheduling.k8s.io"),
    "IngressClass": Kind("IngressClass", "networking.k8s.io"),
    "Node": Kind("Node"),
}
"""Kinds of which only what is named is read."""

WEBHOOK_KINDS = (
    Kind("ValidatingWebhookConfiguration", "admissionregistration.k8s.io"),
    Kind("MutatingWebhookConfiguration", "admissionregistration.k8s.io"),
)
ROLE_KINDS = (Kind("Role", "rbac.authorization.k8s.io"), Kind("RoleBinding", "rbac.authorization.k8s.io"))
CLUSTER_ROLE = Kind("ClusterRole", "rbac.authorization.k8s.io")
CLUSTER_ROLE_BINDING = Kind("ClusterRoleBinding", "rbac.authorization.k8s.io")

KNOWN_KINDS = {
    kind.kind: kind
    for kind in (
        *NAMESPACE_KINDS,
        *BY_NAME.values(),
        *WEBHOOK_KINDS,
        *ROLE_KINDS,
        CLUSTER_ROLE,
        CLUSTER_ROLE_BINDING,
        Kind("Namespace"),
    )
}
"""What a target that says no API version may mean."""
