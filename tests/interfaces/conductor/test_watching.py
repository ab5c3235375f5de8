"""What is watched, over HTTP, on the sandbox."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stellwerk.release.objects import Key
from stellwerk.trust.principal import LOCAL
from support.shop import Shop, open_shop
from support.watching import until

from .test_published_description import described

FRONT = Key("default", "Deployment", "frontend", "apps")
CONFIG = Key("default", "ConfigMap", "frontend-config")


async def by_name(shop: Shop) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in (await shop.api.get("/api/services/health"))["services"]}


async def test_health_has_the_fields_of_the_document_and_says_why(shop: Shop) -> None:
    await shop.set(redis_master={"podAnnotations": {"sandbox.stellwerk.dev/fail": "crash"}})
    assert (await shop.up("frontend")).status == 200
    assert (await shop.up("redis-master")).status == 500

    async def judged() -> Any:
        found = await by_name(shop)
        return found if found["redis-master"]["health"] == "degraded" else None

    found = await until(judged, lambda: "nobody saw the crash")
    frontend, master = found["frontend"], found["redis-master"]
    assert {"name", "namespace", "status", "lastChecked"} <= frontend.keys()
    assert (frontend["status"], frontend["namespace"]) == ("healthy", "default")
    assert frontend["lastChecked"].endswith("Z")
    assert (master["status"], master["reason"]) == ("unhealthy", "CrashLoopBackOff")
    assert master["resource"] == "default/Deployment/redis-master"
    assert found["redis-slave"]["status"] == "unknown"


async def test_a_service_is_shown_with_its_objects_and_their_pods(shop: Shop) -> None:
    await shop.up("frontend")
    shown = await shop.api.get("/api/services/frontend")
    assert shown["status"] == "healthy"
    kinds = [one["resource"].split("/")[1] for one in shown["objects"]]
    assert sorted(kinds) == ["ConfigMap", "Deployment"]
    front = next(one for one in shown["objects"] if one["resource"] == str(FRONT))
    (replica_set,) = front["children"]
    assert [one["resource"].split("/")[1] for one in replica_set["children"]] == ["Pod"]
    assert not replica_set["described"]


async def test_an_instance_that_nobody_made_is_answered_as_described(shop: Shop) -> None:
    asked = [
        (path, item["get"]["responses"])
        for path, item in described()["paths"].items()
        if any(one["name"] == "instance" for one in item.get("get", {}).get("parameters", ()))
    ]
    assert len(asked) > 5
    for path, answers in asked:
        filled = path.replace("{revision}", "1").replace("{version}", "1").replace("{", "").replace("}", "")
        answer = await shop.api.call("GET", f"{filled}?instance=nobody")
        assert str(answer.status) in answers, (path, answer)


async def test_a_name_that_nobody_knows_is_not_found_and_the_right_one_suggested(shop: Shop) -> None:
    for method, path in (
        ("GET", "/api/services/frontendd"),
        ("GET", "/api/services/frontendd/state"),
        ("POST", "/api/services/frontendd/pause"),
        ("POST", "/api/services/frontendd/resume"),
        ("GET", "/api/drift?service=frontendd"),
    ):
        answer = await shop.api.call(method, path)
        assert (answer.status, answer.body["error"]) == (404, "not_found"), path
        assert "frontend" in answer.body["message"]


async def test_drift_is_shown_with_who_set_what(shop: Shop) -> None:
    await shop.up()
    await shop.cluster.patch(FRONT, {"spec": {"replicas": 4}}, manager="kubectl-edit")
    await shop.cluster.delete(CONFIG)

    async def drifted() -> Any:
        found = (await shop.api.get("/api/drift"))["drift"]
        return found if len(found) == 2 else None

    config, front = await until(drifted, lambda: "drift was not seen")
    assert (config["resource"], config["kind"]) == (str(CONFIG), "missing")
    assert (front["kind"], front["fields"], front["owner"]) == ("changed", ["spec.replicas"], "kubectl-edit")
    assert (await by_name(shop))["frontend"]["drifted"] == 2
    assert len((await shop.api.get("/api/drift?service=frontend"))["drift"]) == 2
    assert (await shop.api.get("/api/drift?service=redis-slave"))["drift"] == []
    state = await shop.api.get("/api/services/frontend/state")
    assert [one["resource"] for one in state["drift"]] == [str(CONFIG), str(FRONT)]


async def test_the_state_of_a_service_has_errors_and_parameters_over_time(shop: Shop) -> None:
    absent = await shop.api.get("/api/services/frontend/state")
    assert (absent["state"], absent["lastReconciliation"], absent["errors"]) == ("absent", None, [])
    await shop.set(frontend={"podAnnotations": {"sandbox.stellwerk.dev/fail": "crash"}})
    await shop.up("frontend")
    failed = await shop.api.get("/api/services/frontend/state")
    assert failed["state"] == "failed"
    assert failed["errors"][0]["reason"] == "CrashLoopBackOff"
    assert failed["errors"][0]["operation"] == failed["operation"]
    await shop.set(frontend={"replicas": 2})
    await shop.set(frontend={"replicas": 2}, redis={"replicas": 2})
    await shop.up("frontend")
    deployed = await shop.api.get("/api/services/frontend/state")
    assert (deployed["state"], deployed["lastReconciliation"]["result"]) == ("deployed", "succeeded")
    newest, first = deployed["parameters"]  # the third version changed nothing for this service
    assert [one["path"] for one in newest["changes"]] == ["podAnnotations", "replicas"]
    assert (newest["version"], first["version"], first["by"]) == (2, 1, LOCAL.id)


async def test_parameters_are_not_shown_to_who_may_not_read_them(shop: Shop) -> None:
    await shop.set(frontend={"colour": "blue"})
    reader = await shop.plane.key("services:read")
    assert "parameters" not in await reader.get("/api/services/frontend/state")


@pytest.fixture
async def repairing(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path, reconcile="repair") as opened:
        yield opened


async def test_a_service_is_paused_and_resumed(repairing: Shop) -> None:
    await repairing.up()
    paused = await repairing.api.post("/api/services/frontend/pause", {"why": "looking"})
    assert (paused["paused"]["by"], paused["paused"]["why"]) == (LOCAL.id, "looking")
    assert (await repairing.api.get("/api/services/frontend/state"))["paused"] == paused["paused"]
    await repairing.cluster.delete(CONFIG)
    await until(lambda: drifts(repairing, 1), lambda: "drift was not seen")
    resumed = await repairing.api.post("/api/services/frontend/resume")
    assert resumed == {"message": "The reconciler sees to frontend again", "paused": None}
    await until(lambda: drifts(repairing, 0), lambda: "drift was not repaired")
    (repair, _) = (await repairing.api.get("/api/operations"))["operations"]
    assert (repair["kind"], repair["by"], repair["services"]) == ("repair", "reconciler", ["frontend"])


async def drifts(shop: Shop, count: int) -> bool:
    return len((await shop.api.get("/api/drift"))["drift"]) == count


async def test_a_server_without_a_cluster_shows_what_could_be_deployed(tmp_path: Path) -> None:
    async with open_shop(tmp_path, cluster="none") as shop:
        health = await by_name(shop)
        assert {one["status"] for one in health.values()} == {"unknown"}
        assert (await shop.api.get("/readyz"))["components"]["watching"]["status"] == "available"
