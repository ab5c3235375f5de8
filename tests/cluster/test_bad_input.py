"""What does not fit is refused in the document's shape on a real cluster too, and changes nothing there."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interfaces.conductor.test_deploying import BAD
from stellwerk.release.objects import Key
from support.kube import MANAGER, config_map, random_name
from support.plane import Answer
from support.shop import CONFIG, FILES, Shop, open_shop

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

TEMPLATE_ERROR = CONFIG.replace('service.colour | default("red")', "service.color")


def refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Check the shape of a refusal; return its details."""
    assert (answer.status, answer.body["error"]) == (status, code), answer
    assert isinstance(answer.body["message"], str)
    details: dict[str, Any] = answer.body.get("details", {})
    assert all(isinstance(one, str) for one in details.values())
    return details


async def test_what_does_not_fit_is_refused_and_nothing_is_changed(
    tmp_path: Path, kubeconfig: Path, namespace: str
) -> None:
    real: dict[str, Any] = {"cluster": None, "kubeconfig": str(kubeconfig), "namespace": namespace}
    files = {"stellwerk.yaml": FILES["stellwerk.yaml"], "frontend/config.yaml": CONFIG}
    files |= {f"{name}/config.yaml": CONFIG for name in ("redis-master", "redis-slave")}
    async with open_shop(tmp_path, files=files, patience_s=90.0, **real) as shop:
        assert (await shop.up()).status == 200
        before = await shop.versions()
        parameters = await shop.api.get("/api/parameters")

        for path, body, expected in BAD:
            details = refused(await shop.api.call("POST", path, body), 400, "validation_error")
            assert details == expected, (path, body)

        shop.write({"frontend/config.yaml": TEMPLATE_ERROR})
        (place,) = refused(await shop.up(), 400, "validation_error")
        assert place.startswith("frontend/config.yaml:")
        shop.write({"frontend/config.yaml": "a: [1,\n"})
        refused(await shop.up(), 400, "invalid_yaml")

        wrong = {"services": {"redis": {"replicas": "five"}}}
        details = refused(await shop.api.call("POST", "/api/parameters", wrong), 400, "validation_error")
        assert details.keys() == {"services.redis.replicas"}
        assert await shop.api.get("/api/parameters") == parameters

        assert await shop.versions() == before
        assert len((await shop.api.get("/api/operations"))["operations"]) == 1
        await going(shop)
        assert await shop.versions() == before


async def going(shop: Shop) -> None:
    """Deploy into a namespace that is being deleted, and held."""
    name, held = random_name("going"), {"metadata": {"finalizers": ["example.com/hold"]}}
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await shop.cluster.apply(space, manager=MANAGER)
    await shop.cluster.apply(config_map(name, "pinned", **held), manager=MANAGER)
    await shop.cluster.delete(Key("", "Namespace", name))
    pinned = Key(name, "ConfigMap", "pinned")
    try:
        await until_going(shop, name)
        await shop.api.post("/api/parameters", {"global": {"namespace": name}})
        details = refused(await shop.up("redis"), 500, "reconciliation_error")
        assert details["error"] == f"namespace {name} is being deleted"
        assert await shop.cluster.get(Key(name, "ConfigMap", "redis-master-config")) is None
    finally:
        await shop.cluster.patch(pinned, {"metadata": {"finalizers": None}}, manager=MANAGER)


async def until_going(shop: Shop, name: str) -> None:
    async with asyncio.timeout(30):
        while True:
            space = await shop.cluster.get(Key("", "Namespace", name))
            assert space is not None
            if space["metadata"].get("deletionTimestamp"):
                return
            await asyncio.sleep(0.05)
