"""What else lies in a namespace: trouble and health that have nothing to do with the fault."""

from collections.abc import Callable
from typing import Any

Bodies = list[dict[str, Any]]
IMAGE = "localhost/busybox:1"


def _deployment(name: str, script: str, image: str = IMAGE) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "main",
                            "image": image,
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["sh", "-c", script],
                        }
                    ],
                },
            },
        },
    }


def _crashing(name: str) -> Bodies:
    return [_deployment(name, "echo 'fatal: connection refused by upstream'; exit 1")]


def _chatty(name: str) -> Bodies:
    return [_deployment(name, "while true; do echo 'error: retrying request, timeout'; sleep 5; done")]


def _well(name: str) -> Bodies:
    return [_deployment(name, "trap 'exit 0' TERM; sleep 3600 & wait")]


def _unpulled(name: str) -> Bodies:
    return [_deployment(name, "true", image="127.0.0.1:9/noise:1")]


def _unbound(name: str) -> Bodies:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}]


def _unused(name: str) -> Bodies:
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"note": "error: this is not used"},
        }
    ]


def _empty(name: str) -> Bodies:
    spec = {"selector": {"app": f"{name}-nobody"}, "ports": [{"port": 80}]}
    return [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}]


def crowd(pods: int) -> Bodies:
    """Return a workload of many pods that no scheduler takes: the API server has them, and no node does."""
    body = _deployment("crowd", "true")
    body["spec"]["replicas"] = pods
    body["spec"]["template"]["spec"]["schedulerName"] = "nobody"
    return [body]


NOISE: dict[str, Callable[[str], Bodies]] = {
    "chatty": _chatty,
    "crashing": _crashing,
    "empty": _empty,
    "unbound": _unbound,
    "unpulled": _unpulled,
    "unused": _unused,
    "well": _well,
}
