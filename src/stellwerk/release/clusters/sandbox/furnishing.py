"""What is in the sandbox from the start: namespaces, a node, a class of storage."""

from typing import Any

from stellwerk.release.clusters.sandbox.admission import PROTECTED
from stellwerk.release.clusters.sandbox.statuses import said
from stellwerk.release.clusters.sandbox.world import SIMULATED
from stellwerk.release.objects import Body

VERSION = "v1.29.0-sandbox"
NODE = "sandbox"
ROOM = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
"""What the node gives to pods: enough for everything that is meant, too little for what is not."""


def furniture() -> list[Body]:
    """Return the first objects."""
    notes = {"annotations": {SIMULATED: "true"}}
    labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    status: dict[str, Any] = {
        "capacity": ROOM,
        "allocatable": ROOM,
        "conditions": [said("Ready", reason="KubeletReady", message="a simulation is always ready")],
        "nodeInfo": {"kubeletVersion": VERSION, "osImage": "a simulation"},
    }
    default = {"storageclass.kubernetes.io/is-default-class": "true"} | notes["annotations"]
    return [
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in sorted(PROTECTED)
        ),
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NODE, "labels": labels, **notes},
            "spec": {},
            "status": status,
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "sandbox", "annotations": default},
            "provisioner": "sandbox.stellwerk.dev/nothing",
        },
    ]
