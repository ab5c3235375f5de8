"""How lists of the built-in kinds are merged: one table, as the API's own description has it.

A list that is named here is one of items, each known by its keys; every other list is one value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

_OF_CONTAINERS: dict[str, tuple[str, ...]] = {
    "": ("name",),
    ".env": ("name",),
    ".ports": ("containerPort", "protocol"),
    ".volumeDevices": ("devicePath",),
    ".volumeMounts": ("mountPath",),
}
_OF_PODS: dict[str, tuple[str, ...]] = {
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "volumes": ("name",),
} | {
    containers + path: keys
    for containers in ("containers", "initContainers")
    for path, keys in _OF_CONTAINERS.items()
}
_OF_ALL: dict[str, tuple[str, ...]] = {
    "metadata.finalizers": (),
    "metadata.ownerReferences": ("uid",),
}
_POD_SPEC = {
    ("", "Pod"): "spec",
    ("apps", "DaemonSet"): "spec.template.spec",
    ("apps", "Deployment"): "spec.template.spec",
    ("apps", "ReplicaSet"): "spec.template.spec",
    ("apps", "StatefulSet"): "spec.template.spec",
    ("batch", "CronJob"): "spec.jobTemplate.spec.template.spec",
    ("batch", "Job"): "spec.template.spec",
}
"""Where the description of pods is in those kinds that have one."""
_OF_KINDS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("", "Service"): {"spec.ports": ("port", "protocol")},
    ("", "ServiceAccount"): {"imagePullSecrets": ("name",), "secrets": ("name",)},
    ("apiextensions.k8s.io", "CustomResourceDefinition"): {},
    ("networking.k8s.io", "Ingress"): {},
}
DEFAULTS: Mapping[str, str] = {"protocol": "TCP"}
"""What a key is where an item does not say it."""


@dataclass(slots=True)
class Lists:
    """What is known of the lists at and below a field."""

    keys: tuple[str, ...] | None = None
    """What names the items of a list; empty: they name themselves; None: the list is one value."""
    fields: dict[str, "Lists"] = field(default_factory=dict)

    def at(self, name: str) -> "Lists":
        """Return what is known of a field in this one, or in an item of it."""
        return self.fields.get(name, NOTHING)


NOTHING = Lists()


@cache
def lists_of(group: str, kind: str) -> Lists:
    """Return the keyed lists of a kind; of one that is not built in only those of every object."""
    found = dict(_OF_ALL)
    if (group, kind) in _POD_SPEC:
        found |= {f"{_POD_SPEC[group, kind]}.{path}": keys for path, keys in _OF_PODS.items()}
    found |= _OF_KINDS.get((group, kind), {})
    if (group, kind) in _POD_SPEC.keys() | _OF_KINDS.keys():
        found["status.conditions"] = ("type",)
    root = Lists()
    for path, keys in found.items():
        place = root
        for name in path.split("."):
            place = place.fields.setdefault(name, Lists())
        place.keys = keys
    return root
