"""Which kinds belong to the whole cluster, and what is known of a cluster before anything is asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stellwerk.release.objects import group_of

_OF_THE_CLUSTER: Mapping[str, frozenset[str]] = {
    "": frozenset({"ComponentStatus", "Namespace", "Node", "PersistentVolume"}),
    "admissionregistration.k8s.io": frozenset(
        {
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        }
    ),
    "apiextensions.k8s.io": frozenset({"CustomResourceDefinition"}),
    "apiregistration.k8s.io": frozenset({"APIService"}),
    "certificates.k8s.io": frozenset({"CertificateSigningRequest", "ClusterTrustBundle"}),
    "flowcontrol.apiserver.k8s.io": frozenset({"FlowSchema", "PriorityLevelConfiguration"}),
    "networking.k8s.io": frozenset({"IngressClass", "IPAddress", "ServiceCIDR"}),
    "node.k8s.io": frozenset({"RuntimeClass"}),
    "policy": frozenset({"PodSecurityPolicy"}),
    "rbac.authorization.k8s.io": frozenset({"ClusterRole", "ClusterRoleBinding"}),
    "resource.k8s.io": frozenset({"DeviceClass", "ResourceSlice"}),
    "scheduling.k8s.io": frozenset({"PriorityClass"}),
    "storage.k8s.io": frozenset({"CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"}),
}


@dataclass(frozen=True, slots=True)
class ClusterInfo:
    """What templates may know of the cluster. Empty where none was asked, as by `stellwerk render`."""

    name: str = ""
    version: str = ""
    """Such as `v1.31.2`."""
    simulated: bool = False
    kinds: Mapping[tuple[str, str], bool] = field(default_factory=dict)
    """Of every kind that is served, by `(apiVersion, kind)`: whether its objects have a namespace."""

    def serves(self, api_version: str, kind: str) -> bool:
        """Tell whether the cluster has a kind; where nothing is known, everything is taken to be there."""
        return not self.kinds or (api_version, kind) in self.kinds


def is_namespaced(
    api_version: str, kind: str, *, cluster: ClusterInfo, defined: Mapping[tuple[str, str], bool]
) -> bool:
    """Tell whether objects of a kind live in a namespace.

    The cluster knows best; then the definitions of kinds that are rendered with it (`defined`, by group and
    kind); then what Kubernetes has built in. What nobody knows is taken to.
    """
    served = cluster.kinds.get((api_version, kind))
    if served is not None:
        return served
    group = group_of(api_version)
    return defined.get((group, kind), not is_of_the_cluster(group, kind))


def is_of_the_cluster(group: str, kind: str) -> bool:
    """Tell whether a kind that Kubernetes has built in belongs to the whole cluster."""
    return kind in _OF_THE_CLUSTER.get(group, frozenset())
