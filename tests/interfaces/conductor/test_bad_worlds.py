"""Clusters that are away, fail, or are busy with something: the document's error shape, nothing done."""

import asyncio
import itertools
from pathlib import Path

import pytest

from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Key
from support.shop import Shop, open_shop
from support.silent_cluster import failing_server, kubeconfig

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "going"}}


async def refused_as_away(shop: Shop) -> None:
    bodies = {"up": {"services": ["redis"]}, "down": {"all": True}, "plan": {}, "rollback": {}}
    # At once: each is repeated for seconds before it is given up.
    calls = (shop.api.call("POST", f"/api/{path}", body) for path, body in bodies.items())
    for answer in await asyncio.gather(*calls):
        assert (answer.status, answer.body["error"]) == (503, "kubernetes_error"), answer
        assert int(answer.headers["retry-after"]) >= 1
    assert (await shop.api.get("/api/operations"))["operations"] == []
    assert (await shop.api.get("/readyz"))["components"]["cluster"]["status"] == "unavailable"


async def test_a_cluster_that_cannot_be_reached(tmp_path: Path) -> None:
    settings = {"cluster": None, "kubeconfig": kubeconfig(tmp_path, "http://127.0.0.1:9")}
    async with open_shop(tmp_path, patience_s=60.0, **settings) as shop:
        await refused_as_away(shop)
        # What needs no cluster goes on.
        assert len((await shop.api.get("/api/services"))["services"]) == 3
        assert len(await shop.api.get("/manifests")) == 4


async def test_a_cluster_that_fails(tmp_path: Path) -> None:
    async with failing_server() as server:
        settings = {"cluster": None, "kubeconfig": kubeconfig(tmp_path, server)}
        async with open_shop(tmp_path, patience_s=60.0, **settings) as shop:
            await refused_as_away(shop)


async def test_a_namespace_that_is_being_deleted(shop: Shop) -> None:
    await shop.cluster.apply(NAMESPACE, manager="somebody")
    pinned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pinned", "namespace": "going", "finalizers": ["example.com/hold"]},
    }
    await shop.cluster.apply(pinned, manager="somebody")
    await shop.cluster.delete(Key("", "Namespace", "going"))
    await shop.api.post("/api/parameters", {"global": {"namespace": "going"}})
    answer = await shop.up("redis")
    assert (answer.status, answer.body["error"]) == (500, "reconciliation_error")
    assert answer.body["details"]["error"] == "namespace going is being deleted"
    assert await shop.cluster.list(Kind("Deployment", "apps"), namespace="going") == []


async def test_a_namespace_that_is_not_there(shop: Shop) -> None:
    await shop.api.post("/api/parameters", {"global": {"namespace": "nowhere"}})
    answer = await shop.up("redis")
    assert (answer.status, answer.body["error"]) == (500, "reconciliation_error"), answer
    assert "nowhere" in answer.body["details"]["error"]


async def test_what_others_made_is_not_taken_over_unless_that_is_said(shop: Shop) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "frontend-config", "namespace": "default"},
        "data": {"colour": "green"},
    }
    before = (await shop.cluster.apply(theirs, manager="somebody")).object
    answer = await shop.up("frontend")
    assert answer.status == 500
    assert answer.body["details"]["resource"] == "default/ConfigMap/frontend-config"
    assert "not ours" in answer.body["details"]["error"]
    assert await shop.cluster.get(Key("default", "ConfigMap", "frontend-config")) == before
    assert (await shop.up("frontend", force=True)).status == 200


@pytest.mark.parametrize("many", [2, 8])
async def test_requests_at_the_same_time_run_one_after_the_other(shop: Shop, many: int) -> None:
    answers = await asyncio.gather(*(shop.up("redis") for _ in range(many)))
    assert {one.status for one in answers} == {200}
    spans = sorted(
        (one["startedAt"], one["finishedAt"]) for one in (await shop.api.get("/api/operations"))["operations"]
    )
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
