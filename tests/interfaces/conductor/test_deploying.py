"""Up, update, down, rollback and plan over HTTP, on the sandbox."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stellwerk.release.objects import Key
from support.plane import Answer
from support.shop import CONFIG, Shop, open_shop

EVERYTHING = {
    "ConfigMap/frontend-config",
    "Deployment/frontend",
    "Deployment/redis-master",
    "Deployment/redis-slave",
}


def actions(body: Any) -> dict[str, str]:
    return {one["resource"]: one["action"] for one in body["objects"]}


async def test_up_without_a_body_deploys_everything_and_tells_what_it_did(shop: Shop) -> None:
    answer = await shop.api.call("POST", "/api/up")
    assert answer.status == 200, answer
    assert answer.body["message"] == "Successfully deployed all manifests"
    operation = answer.body["operation"]
    assert (operation["state"], operation["release"], operation["by"]) == ("succeeded", 1, "local")
    assert operation["progress"] == {"total": 4, "done": 4, "failed": 0}
    assert operation["requestedAt"].endswith("Z")
    assert (await shop.versions()).keys() == EVERYTHING


async def test_a_group_stands_for_its_members_and_a_name_for_nothing_else(shop: Shop) -> None:
    answer = await shop.up("redis")
    assert answer.body["operation"]["services"] == ["redis-master", "redis-slave"]
    assert (await shop.versions()).keys() == {"Deployment/redis-master", "Deployment/redis-slave"}
    assert (await shop.up("front")).status == 400


async def test_a_subset_leaves_every_other_object_as_it_is(shop: Shop) -> None:
    await shop.up()
    before = await shop.versions()
    shop.write({"frontend/config.yaml": CONFIG.replace('"red"', '"blue"')})
    answer = await shop.up("frontend")
    assert actions(answer.body["operation"]) == {
        "default/ConfigMap/frontend-config": "update",
        "default/Deployment/frontend": "unchanged",
    }
    after = await shop.versions()
    assert {name for name in after if after[name] != before[name]} == {"ConfigMap/frontend-config"}


async def test_what_a_service_no_longer_describes_is_removed_and_only_that(shop: Shop) -> None:
    await shop.up()
    shop.remove("frontend/config.yaml")
    assert (await shop.up("redis")).status == 200
    assert (await shop.versions()).keys() == EVERYTHING
    assert (await shop.up("frontend", prune=False)).status == 200
    assert (await shop.versions()).keys() == EVERYTHING
    assert (await shop.up("frontend")).status == 200
    assert (await shop.versions()).keys() == EVERYTHING - {"ConfigMap/frontend-config"}


async def test_a_failure_names_the_resource_and_its_reason_in_the_shape_of_the_document(shop: Shop) -> None:
    await shop.set(frontend={"podAnnotations": {"sandbox.stellwerk.dev/fail": "crash"}})
    answer = await shop.up("frontend")
    assert answer.status == 500
    assert {name: answer.body[name] for name in ("error", "message")} == {
        "error": "reconciliation_error",
        "message": "Deployment failed",
    }
    details = answer.body["details"]
    assert (details["resource"], details["error"]) == ("default/Deployment/frontend", "CrashLoopBackOff")
    assert all(isinstance(value, str) for value in details.values())
    assert answer.body["operation"]["state"] == "failed"


async def test_update_renders_afresh_with_the_parameters_of_now(shop: Shop) -> None:
    await shop.up()
    await shop.set(redis={"replicas": 5})
    answer = await shop.api.call("POST", "/api/update", {"services": ["redis"]})
    assert answer.body["message"] == "Successfully updated all manifests"
    for name in ("redis-master", "redis-slave"):
        live = await shop.cluster.get(Key("default", "Deployment", name, "apps"))
        assert live is not None
        assert live["spec"]["replicas"] == 5


async def test_down_takes_what_is_named_and_everything_only_where_that_is_said(shop: Shop) -> None:
    await shop.up()
    for body in (
        None,
        {},
        {"all": False},
        {"service": ["frontend"]},
        {"all": True, "services": ["frontend"]},
    ):
        answer = await shop.api.call("POST", "/api/down", body)
        assert (answer.status, answer.body["error"]) == (400, "validation_error"), body
    assert (await shop.versions()).keys() == EVERYTHING
    answer = await shop.api.call("POST", "/api/down", {"services": ["frontend"]})
    assert answer.body["message"] == "Successfully deleted all managed resources"
    assert (await shop.versions()).keys() == {"Deployment/redis-master", "Deployment/redis-slave"}
    assert (await shop.api.call("POST", "/api/down", {"services": []})).status == 200
    assert await shop.versions() == {}
    assert (await shop.api.call("POST", "/api/down", {"all": True})).status == 200


async def test_down_also_takes_a_service_that_is_no_longer_described(shop: Shop) -> None:
    await shop.up()
    shop.remove("redis-slave/deployment.yaml")
    shop.write({"stellwerk.yaml": "name: shop\n"})
    assert (await shop.up()).status == 200
    assert "Deployment/redis-slave" in await shop.versions()
    assert (await shop.api.call("POST", "/api/down", {"services": ["redis-slave"]})).status == 200
    assert "Deployment/redis-slave" not in await shop.versions()


async def test_rollback_restores_objects_and_parameters(shop: Shop) -> None:
    await shop.set(frontend={"replicas": 2})
    await shop.up()
    await shop.set(frontend={"replicas": 3, "colour": "blue"})
    await shop.up()
    answer = await shop.api.call("POST", "/api/rollback")
    assert answer.status == 200, answer
    assert (answer.body["operation"]["revision"], answer.body["operation"]["release"]) == (1, 3)
    live = await shop.cluster.get(Key("default", "Deployment", "frontend", "apps"))
    assert live is not None
    assert live["spec"]["replicas"] == 2
    assert (await shop.parameters.get()).spec["services"]["frontend"] == {"replicas": 2}
    unknown = await shop.api.call("POST", "/api/rollback", {"revision": 77})
    assert (unknown.status, unknown.body["error"]) == (404, "not_found")


async def test_a_dry_run_shows_the_plan_and_changes_nothing(shop: Shop) -> None:
    await shop.up()
    before = await shop.versions()
    shop.write({"frontend/config.yaml": CONFIG.replace('"red"', '"blue"')})
    tried = await shop.api.call("POST", "/api/up?dryRun=true", {"services": ["frontend"]})
    planned = await shop.api.call("POST", "/api/plan", {"services": ["frontend"]})
    assert tried.body["plan"] == planned.body
    assert planned.body["summary"] == {"unchanged": 1, "update": 1}
    changed = next(one for one in planned.body["steps"] if one["action"] == "update")
    assert changed["changes"] == [{"path": "data.colour", "old": "red", "new": "blue"}]
    gone = await shop.api.call("POST", "/api/down", {"services": ["frontend"], "dryRun": True})
    assert gone.body["plan"]["summary"] == {"delete": 2}
    assert await shop.versions() == before
    assert len((await shop.api.get("/api/operations"))["operations"]) == 1


async def test_who_does_not_wait_is_told_where_it_goes_on_and_can_follow_it(shop: Shop) -> None:
    answer = await shop.up(wait=False)
    assert answer.status == 202
    where = answer.headers["location"]
    assert where == f"/api/operations/{answer.body['operation']['id']}"
    async with shop.api.session.get(f"{shop.api.url}{where}/stream") as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        lines = (await stream.read()).splitlines()
    states = [msgspec.json.decode(line[6:])["state"] for line in lines if line.startswith(b"data: ")]
    assert states[-1] == "succeeded"
    assert (await shop.api.get(where))["state"] == "succeeded"


async def test_who_waits_too_short_is_told_that_it_goes_on(shop: Shop) -> None:
    await shop.set(frontend={"podAnnotations": {"sandbox.stellwerk.dev/fail": "probe"}})
    answer = await shop.up("frontend", timeoutSeconds=0.2)
    assert answer.status == 202
    where = answer.headers["location"]
    refused = await shop.up("redis", onBusy="refuse")
    assert (refused.status, refused.body["error"]) == (409, "operation_in_progress")
    assert refused.body["details"] == {"operation": answer.body["operation"]["id"]}
    await shop.api.post(f"{where}/cancel")
    async with asyncio.timeout(10):
        while (await shop.api.get(where))["state"] != "cancelled":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


BAD: list[tuple[str, Any, dict[str, str]]] = [
    ("/api/up", b"{", {}),
    ("/api/up", b"[]", {}),
    ("/api/up", {"service": ["frontend"]}, {}),
    ("/api/up", {"services": "frontend"}, {}),
    ("/api/up", {"services": None}, {}),
    ("/api/up", {"services": [""]}, {}),
    ("/api/up", {"services": ["frontend"], "dryrun": True}, {}),
    ("/api/up?dry_run=true", {"services": ["frontend"]}, {}),
    ("/api/up?wait=perhaps", {"services": ["frontend"]}, {}),
    ("/api/up?wait=true", {"services": ["frontend"], "wait": False}, {}),
    ("/api/up", {"services": ["frontend"], "timeoutSeconds": -1}, {}),
    ("/api/up", {"services": ["frontent"]}, {"frontent": "did you mean frontend?"}),
    ("/api/down", {"services": ["frontent"]}, {"frontent": "did you mean frontend?"}),
    ("/api/rollback", {"services": ["frontent"]}, {"frontent": "did you mean frontend?"}),
    ("/api/plan", {"action": "sideways"}, {}),
]


@pytest.mark.parametrize(("path", "body", "details"), BAD)
async def test_what_does_not_fit_is_refused_and_nothing_happens(
    shop: Shop, path: str, body: Any, details: dict[str, str]
) -> None:
    await shop.up("redis")
    before = await shop.versions()
    answer = await shop.api.call("POST", path, body)
    assert answer.status == 400, answer
    assert answer.body["error"] == "validation_error"
    assert answer.body.get("details", {}) == details
    assert await shop.versions() == before
    assert len((await shop.api.get("/api/operations"))["operations"]) == 1


async def test_a_faulty_file_is_told_with_its_line_and_stands_in_the_way_of_its_service_only(
    shop: Shop,
) -> None:
    shop.write(
        {
            "frontend/config.yaml": CONFIG.replace("service.colour |", "service.color.x |").replace(
                ' | default("red")', ""
            )
        }
    )
    refused = await shop.up("frontend")
    assert (refused.status, refused.body["error"]) == (400, "validation_error")
    (where,) = refused.body["details"]
    assert where.startswith("frontend/config.yaml:")
    assert await shop.versions() == {}
    assert (await shop.up("redis")).status == 200
    shop.write({"frontend/config.yaml": "a: [1,\n"})
    assert (await shop.up("frontend")).body["error"] == "invalid_yaml"


async def test_an_unknown_instance_is_not_made_by_the_way(shop: Shop) -> None:
    answer = await shop.up("frontend", instance="stagging")
    assert (answer.status, answer.body["error"]) == (404, "not_found")
    assert (await shop.up("frontend", instance="No!")).status == 400


async def test_releases_are_listed_shown_and_compared_without_secrets(shop: Shop) -> None:
    shop.write({"frontend/secret.yaml": SECRET.format(value="hunter2-one")})
    await shop.up(note="first")
    shop.write({"frontend/secret.yaml": SECRET.format(value="hunter2-two")})
    await shop.set(frontend={"colour": "blue"})
    await shop.up("frontend")
    listed = (await shop.api.get("/api/releases"))["releases"]
    assert [(one["revision"], one["kind"], one["result"], one["note"]) for one in listed] == [
        (2, "up", "succeeded", ""),
        (1, "up", "succeeded", "first"),
    ]
    assert listed[0]["services"].keys() == {"frontend", "redis-master", "redis-slave"}
    shown = await shop.api.get("/api/releases/2")
    assert {one["resource"] for one in shown["objects"]} >= {"default/Secret/password"}
    assert shown["parameters"]["services"] == {"frontend": {"colour": "blue"}}
    found = await shop.api.get("/api/releases/2/diff")
    assert (found["revision"], found["against"]) == (2, 1)
    assert {one["resource"]: one["action"] for one in found["objects"]} == {
        "default/ConfigMap/frontend-config": "changed",
        "default/Secret/password": "changed",
    }
    assert "hunter2" not in repr((shown, found, await shop.api.get("/api/operations")))
    assert (await shop.api.call("GET", "/api/releases/9")).status == 404
    assert (await shop.api.get("/api/releases/1/diff?against=2"))["against"] == 2


SECRET = """\
apiVersion: v1
kind: Secret
metadata:
  name: password
stringData:
  password: {value}
"""


async def test_parameters_of_a_release_are_for_those_who_may_read_them(shop: Shop) -> None:
    await shop.up()
    reader = await shop.plane.key("services:read")
    assert "parameters" not in await reader.get("/api/releases/1")
    assert "parameters" not in await reader.get("/api/releases/1/diff")


async def test_without_a_cluster_deployment_says_how_to_select_one(tmp_path: Path) -> None:
    async with open_shop(tmp_path, cluster=None) as shop:
        for path, body in (("up", {}), ("down", {"all": True}), ("plan", {}), ("rollback", {})):
            answer = await shop.api.call("POST", f"/api/{path}", body)
            assert (answer.status, answer.body["error"]) == (503, "kubernetes_error")
            assert "--kubeconfig" in answer.body["message"]
            assert int(answer.headers["retry-after"]) > 0
        ready = await shop.api.get("/readyz")
        assert ready["components"]["cluster"]["status"] == "unselected"
        assert (await shop.api.call("GET", "/readyz?strict=true")).status == 503


async def test_without_manifests_there_is_nothing_to_deploy(tmp_path: Path) -> None:
    async with open_shop(tmp_path, files={}) as shop:
        answer = await shop.api.call("POST", "/api/up")
        assert (answer.status, answer.body["error"]) == (400, "no_manifests")


async def test_health_is_public_and_says_that_the_sandbox_is_a_simulation(shop: Shop) -> None:
    alive = await shop.api.get("/healthz")
    assert alive.keys() == {"status", "version", "timestamp"}
    assert alive["status"] == "healthy"
    ready = await shop.api.get("/readyz")
    assert ready["status"] == "healthy"
    assert ready["components"]["database"] == {"status": "healthy"}
    assert ready["components"]["manager"] == {"status": "ready"}
    assert ready["components"]["cluster"]["simulated"] is True
    assert "simulation" in ready["components"]["cluster"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api/operations/op_none", 404, "not_found"),
        ("GET", "/api/operations/op_none/stream", 404, "not_found"),
        ("DELETE", "/api/up", 405, "method_not_allowed"),
        ("PUT", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_every_refusal_has_the_shape_of_the_document(
    shop: Shop, method: str, path: str, status: int, code: str
) -> None:
    answer: Answer = await shop.api.call(method, path)
    assert (answer.status, answer.body["error"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.body["message"], str)


async def test_what_may_read_may_not_deploy(shop: Shop) -> None:
    reader = await shop.plane.key("services:read")
    refused = await reader.call("POST", "/api/up", {"services": ["frontend"]})
    assert (refused.status, refused.body["error"]) == (403, "missing_scope")
    assert await shop.versions() == {}


async def test_so_many_releases_are_kept_as_the_settings_say(tmp_path: Path) -> None:
    async with open_shop(tmp_path, releases=2) as shop:
        for _ in range(4):
            await shop.up("redis")
        listed = (await shop.api.get("/api/releases"))["releases"]
        assert [one["revision"] for one in listed] == [4, 3]
