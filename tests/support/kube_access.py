"""Principals of a cluster that may do little."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import yaml

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from support.kube import MANAGER, next_change

RULES: Sequence[Mapping[str, Any]] = (
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]},
)


async def token_of(cluster: Cluster, namespace: str, rules: Sequence[Mapping[str, Any]] = RULES) -> str:
    """The token of a new service account that may do this; unless told otherwise, read ConfigMaps."""
    access = "rbac.authorization.k8s.io"
    named: dict[str, Any] = {"metadata": {"name": "reader", "namespace": namespace}}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    role = {"apiGroup": access, "kind": "Role", "name": "reader"}
    for body in (
        {"apiVersion": "v1", "kind": "ServiceAccount", **named},
        {"apiVersion": f"{access}/v1", "kind": "Role", **named, "rules": list(rules)},
        {
            "apiVersion": f"{access}/v1",
            "kind": "RoleBinding",
            **named,
            "subjects": [subject],
            "roleRef": role,
        },
    ):
        await cluster.apply(body, manager=MANAGER)
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": "token",
            "namespace": namespace,
            "annotations": {"kubernetes.io/service-account.name": "reader"},
        },
    }
    await cluster.apply(secret, manager=MANAGER)
    async with aclosing(cluster.watch(Kind("Secret"), namespace=namespace)) as told:
        while True:
            body = (await next_change(told)).object
            if body.get("metadata", {}).get("name") == "token" and "token" in body.get("data", {}):
                return base64.b64decode(body["data"]["token"]).decode()


def with_token(kubeconfig: Path, token: str, path: Path) -> str:
    """Write a kubeconfig that has this token in place of the administrator's certificate."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config))
    return str(path)
