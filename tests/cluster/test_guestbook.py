"""The example application on a real cluster, over HTTP."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stellwerk.release.objects import Key
from support.conductor_document import guestbook_files
from support.shop import Shop, open_shop
from support.watching import until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SERVICES = ("api-service", "frontend", "redis-master", "redis-slave", "web-app")
SEEN_S = 2.0


async def health(shop: Shop) -> dict[str, str]:
    found = (await shop.api.get("/api/services/health"))["services"]
    return {one["name"]: one["status"] for one in found}


async def replicas(shop: Shop, name: str) -> tuple[int, int]:
    """How many pods of a Deployment are wanted, and how many are ready."""
    body = await shop.cluster.get(Key(shop.namespace, "Deployment", name, "apps"))
    assert body is not None
    return body["spec"]["replicas"], body["status"].get("readyReplicas", 0)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {name for name in after if after[name] != before.get(name)}


@pytest.mark.timeout(400)
async def test_the_guestbook_is_deployed_scaled_rolled_back_and_removed(
    tmp_path: Path, kubeconfig: Path, namespace: str
) -> None:
    real: dict[str, Any] = {"cluster": None, "kubeconfig": str(kubeconfig), "wait_s": 150.0}
    opened = {"files": guestbook_files(), "namespace": namespace, "patience_s": 180.0, **real}
    async with open_shop(tmp_path, **opened) as shop:
        assert (await shop.up()).status == 200
        assert await health(shop) == dict.fromkeys(SERVICES, "healthy")
        first = await shop.versions()

        parameters = (await shop.api.get("/api/parameters")) | {"services": {"redis-slave": {"replicas": 5}}}
        await shop.api.post("/api/parameters", parameters)
        assert (await shop.api.call("POST", "/api/update", {"services": ["redis-slave"]})).status == 200
        assert await replicas(shop, "redis-slave") == (5, 5)
        assert changed(first, await shop.versions()) == {"Deployment/redis-slave"}

        await drifts_and_is_seen(shop)

        assert (await shop.api.call("POST", "/api/down", {"services": ["web-app"]})).status == 200
        left = await shop.versions()
        assert first.keys() - left.keys() == {"Deployment/web-app"}
        assert (await health(shop))["web-app"] == "unknown"

        answer = await shop.api.call("POST", "/api/rollback", {"revision": 1})
        assert answer.status == 200, answer
        assert await replicas(shop, "redis-slave") == (1, 1)
        assert (await shop.versions()).keys() == first.keys()
        assert "redis-slave" not in (await shop.api.get("/api/parameters")).get("services", {})
        before = await shop.versions()

        assert (await shop.up("frontend")).status == 200
        assert await shop.versions() == before
        assert (await shop.api.call("POST", "/api/down", {"all": True})).status == 200
        assert await shop.versions() == {}


async def drifts_and_is_seen(shop: Shop) -> None:
    """Change an object by hand; who did what is shown in time, and over when it is undone."""
    front = Key(shop.namespace, "Deployment", "frontend", "apps")
    clock = asyncio.get_running_loop()

    async def drift() -> list[tuple[str, list[str], str]]:
        found = (await shop.api.get("/api/drift"))["drift"]
        return [(one["resource"], one["fields"], one["owner"]) for one in found]

    began_at = clock.time()
    await shop.cluster.patch(front, {"spec": {"replicas": 2}}, manager="kubectl-edit")
    found = await until(drift, lambda: "drift was not seen")
    assert clock.time() - began_at < SEEN_S
    assert found == [(str(front), ["spec.replicas"], "kubectl-edit")]
    await shop.cluster.patch(front, {"spec": {"replicas": 1}}, manager="kubectl-edit")

    async def over() -> bool:
        return not await drift()

    await until(over, lambda: "drift is not over")
