"""The conductor interface over a real cluster."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stellwerk.release.objects import Key
from support.conductor_document import guestbook, walk_through
from support.shop import DEPLOYMENT, Shop, open_shop

pytestmark = pytest.mark.cluster


@pytest.fixture
async def shop(tmp_path: Path, kubeconfig: Path, namespace: str) -> AsyncIterator[Shop]:
    """Three services in a namespace of the test's own; nothing is deployed."""
    real = {"cluster": None, "kubeconfig": str(kubeconfig)}
    async with open_shop(tmp_path, namespace=namespace, patience_s=120.0, **real) as opened:
        yield opened


async def test_services_are_deployed_scaled_rolled_back_and_removed(shop: Shop) -> None:
    answer = await shop.up()
    assert answer.status == 200, answer
    assert answer.body["message"] == "Successfully deployed all manifests"
    before = await shop.versions()
    assert len(before) == 4
    await shop.set(redis={"replicas": 5})
    assert (await shop.api.call("POST", "/api/update", {"services": ["redis-master"]})).status == 200
    master = await shop.cluster.get(Key(shop.namespace, "Deployment", "redis-master", "apps"))
    assert master is not None
    assert master["status"]["readyReplicas"] == 5
    after = await shop.versions()
    assert {name for name in after if after[name] != before[name]} == {"Deployment/redis-master"}
    assert (await shop.api.call("POST", "/api/rollback")).status == 200
    master = await shop.cluster.get(Key(shop.namespace, "Deployment", "redis-master", "apps"))
    assert master is not None
    assert master["spec"]["replicas"] == 1
    assert (await shop.api.call("POST", "/api/down", {"services": ["redis-slave"]})).status == 200
    assert (await shop.versions()).keys() == before.keys() - {"Deployment/redis-slave"}
    assert (await shop.api.call("POST", "/api/down", {"all": True})).status == 200
    assert await shop.versions() == {}


async def test_an_image_that_cannot_be_pulled_is_named(shop: Shop) -> None:
    await shop.set(frontend={"image": "localhost:1/nowhere:1"})
    answer = await shop.up("frontend")
    assert answer.status == 500
    details = answer.body["details"]
    assert details["resource"] == f"{shop.namespace}/Deployment/frontend"
    assert details["error"] in ("ImagePullBackOff", "ErrImagePull")


async def test_the_document_works_to_the_letter(tmp_path: Path, kubeconfig: Path) -> None:
    """In the namespace `default`, as its requests say."""
    async with guestbook(tmp_path, cluster=None, kubeconfig=str(kubeconfig)) as shop:
        await walk_through(shop)


async def test_a_misspelt_field_of_an_object_is_refused_and_nothing_is_applied(shop: Shop) -> None:
    shop.write({"frontend/deployment.yaml": DEPLOYMENT.replace("replicas:", "replicass:")})
    answer = await shop.up("frontend")
    assert (answer.status, answer.body["error"]) == (500, "reconciliation_error"), answer
    assert "replicass" in answer.body["details"]["error"]
