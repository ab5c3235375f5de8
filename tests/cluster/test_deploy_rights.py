"""The rights in `deploy/kubernetes`: enough to deploy an application, and not more."""

import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml

from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.kubernetes.kubernetes import KubernetesCluster
from stellwerk.release.objects import key_of
from support.kube import MANAGER, next_change
from support.shop import FILES, Shop, open_shop

# Pods end when a busy node gets to it.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hush}\n"


def documents(name: str, namespace: str) -> list[dict[str, Any]]:
    """Read a file, with names that are the test's own and the account in the test's namespace."""
    text = (FOLDER / name).read_text().replace("stellwerk-", f"{namespace}-")
    return list(yaml.safe_load_all(text.replace("namespace: stellwerk", f"namespace: {namespace}")))


def placed(body: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Do what `kubectl apply -n` does."""
    return body | {"metadata": body["metadata"] | {"namespace": namespace}}


def with_token(kubeconfig: Path, token: str, path: Path) -> str:
    """Write a kubeconfig that has this token in place of the administrator's certificate."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def token_of(cluster: KubernetesCluster, namespace: str) -> str:
    notes = {"kubernetes.io/service-account.name": "stellwerk"}
    metadata = {"name": "account", "namespace": namespace, "annotations": notes}
    kind = "kubernetes.io/service-account-token"
    await cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata}, manager=MANAGER
    )
    async with aclosing(cluster.watch(Kind("Secret"), namespace=namespace)) as told:
        while True:
            body = (await next_change(told)).object
            if body.get("metadata", {}).get("name") == "account" and "token" in body.get("data", {}):
                return base64.b64decode(body["data"]["token"]).decode()


@pytest.fixture
async def shop(
    tmp_path: Path, kubeconfig: Path, cluster: KubernetesCluster, namespace: str
) -> AsyncIterator[Shop]:
    """An application on a server that may do what the files say, in one namespace."""
    everywhere = documents("rbac.yaml", namespace)
    (target,) = documents("target.yaml", namespace)
    for body in (*everywhere, placed(target, namespace)):
        await cluster.apply(body, manager=MANAGER)
    config = with_token(kubeconfig, await token_of(cluster, namespace), tmp_path / "config")
    real = {"cluster": None, "kubeconfig": config}
    files = {**FILES, "secret/secret.yaml": SECRET}
    try:
        async with open_shop(tmp_path, files=files, namespace=namespace, patience_s=120.0, **real) as opened:
            yield opened
    finally:
        for body in everywhere[1:]:
            await cluster.delete(key_of(body))


async def test_application_is_deployed_watched_and_removed(shop: Shop) -> None:
    assert (await shop.up("frontend", "redis")).status == 200
    health = await shop.api.get("/api/services/health")
    assert {one["name"]: one["status"] for one in health["services"] if one["installed"]} == {
        "frontend": "healthy",
        "redis-master": "healthy",
        "redis-slave": "healthy",
    }
    removal = {"services": ["frontend", "redis"], "timeoutSeconds": 110}
    assert (await shop.api.call("POST", "/api/down", removal)).status == 200


async def test_secrets_and_other_namespaces_are_out_of_reach(shop: Shop, cluster: KubernetesCluster) -> None:
    refused = await shop.up("secret")
    assert refused.status == 500
    assert 'cannot patch resource "secrets"' in refused.body["details"]["error"]
    (granted,) = [one for one in documents("secrets.yaml", shop.namespace) if one["kind"] == "Role"]
    assert granted["rules"][0]["resources"] == ["secrets"]
    for body in documents("secrets.yaml", shop.namespace):
        await cluster.apply(placed(body, shop.namespace), manager=MANAGER)
    assert (await shop.up("secret")).status == 200
    await shop.set(frontend={"namespace": "default"})
    elsewhere = await shop.up("frontend")
    assert elsewhere.status == 500
    assert 'in the namespace "default"' in elsewhere.body["details"]["error"]
