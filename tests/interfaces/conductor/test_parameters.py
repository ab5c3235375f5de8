"""Parameters over HTTP: stored, merged, checked, compared, and taken back."""

from pathlib import Path
from typing import Any

import pytest

from stellwerk.release.clusters.kinds import Kind
from stellwerk.settings import ParametersSettings, Settings
from support.shop import Shop, open_shop

SPEC = {"global": {"namespace": "default", "replicas": 1}, "services": {"redis": {"replicas": 5}}}


async def test_where_nothing_is_stored_what_holds_is_shown(shop: Shop) -> None:
    assert await shop.api.get("/api/parameters") == {
        "global": {"namespace": "default", "namePrefix": "", "replicas": 1}
    }
    assert await shop.api.get("/api/parameters/") == await shop.api.get("/api/parameters")


async def test_post_replaces_and_patch_merges(shop: Shop) -> None:
    stored = await shop.api.post("/api/parameters", SPEC)
    assert stored == {"message": "Parameters updated successfully", "version": 1}
    assert await shop.api.get("/api/parameters") == SPEC
    await shop.api.call("PATCH", "/api/parameters", {"services": {"frontend": {"replicas": 2}}})
    merged = await shop.api.get("/api/parameters")
    assert merged["services"] == {"redis": {"replicas": 5}, "frontend": {"replicas": 2}}
    await shop.api.call("PATCH", "/api/parameters", {"services": {"frontend": None}})
    assert await shop.api.get("/api/parameters") == SPEC
    await shop.api.post("/api/parameters", {"global": {"replicas": 3}})
    assert await shop.api.get("/api/parameters") == {"global": {"replicas": 3}}


async def test_who_has_read_another_state_changes_nothing(shop: Shop) -> None:
    read = await shop.api.call("GET", "/api/parameters")
    first = {"headers": {"If-Match": read.headers["etag"]}}
    stored = await shop.api.call("POST", "/api/parameters", SPEC, **first)
    assert stored.status == 200
    stale = await shop.api.call("POST", "/api/parameters", {}, **first)
    assert (stale.status, stale.body["error"]) == (412, "precondition_failed")
    assert stale.headers["etag"] == stored.headers["etag"]
    assert await shop.api.get("/api/parameters") == SPEC
    assert (await shop.api.call("PATCH", "/api/parameters", {}, headers={"If-Match": "*"})).status == 200


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"services": {"redis": {"replicas": "five"}}}, {"services.redis.replicas"}),
        ({"services": {"redis": {"replicas": -1}}, "globals": {}}, {"services.redis.replicas", "globals"}),
        ({"global": []}, {"global"}),
    ],
)
async def test_what_breaks_the_schema_is_refused_with_every_path(
    shop: Shop, spec: Any, paths: set[str]
) -> None:
    await shop.api.post("/api/parameters", SPEC)
    checked = await shop.api.post("/api/parameters/validate", spec)
    assert (checked["valid"], {one["path"] for one in checked["violations"]}) == (False, paths)
    for method in ("POST", "PATCH"):
        answer = await shop.api.call(method, "/api/parameters", spec)
        assert (answer.status, answer.body["error"]) == (400, "validation_error")
        assert answer.body["details"].keys() == paths
    assert await shop.api.get("/api/parameters") == SPEC


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b"null", b""])
async def test_what_is_no_object_is_refused(shop: Shop, body: bytes) -> None:
    answer = await shop.api.call("POST", "/api/parameters", body)
    assert (answer.status, answer.body["error"]) == (400, "validation_error")


async def test_names_without_a_service_are_stored_and_hinted_at(shop: Shop) -> None:
    answer = await shop.api.post("/api/parameters", {"services": {"frontent": {"replicas": 2}}})
    assert "did you mean frontend?" in answer["hints"]["services.frontent"]


async def test_values_show_what_holds_and_what_is_deployed(shop: Shop) -> None:
    await shop.api.post("/api/parameters", SPEC)
    before = await shop.api.get("/api/parameters/values")
    assert before.keys() == {"frontend", "redis-master", "redis-slave"}
    assert before["redis-master"]["merged"]["replicas"] == 5
    assert "deployed" not in before["redis-master"]
    await shop.up()
    after = await shop.api.get("/api/parameters/values")
    assert after["redis-master"]["deployed"] == {"namespace": "default", "replicas": 5, "imageTag": "1"}
    assert (await shop.api.get("/api/parameters/redis-slave"))["replicas"] == 5
    assert (await shop.api.get("/api/parameters/frontend"))["replicas"] == 1
    unknown = await shop.api.call("GET", "/api/parameters/frontent")
    assert (unknown.status, unknown.body["error"]) == (404, "not_found")


async def test_the_schema_is_the_applications_own_where_it_has_one(shop: Shop) -> None:
    built_in = await shop.api.get("/api/parameters/schema")
    assert built_in["properties"].keys() == {"global", "services"}
    shop.write({"parameters.schema.json": '{"type": "object", "maxProperties": 2}'})
    assert await shop.api.get("/api/parameters/schema") == {"type": "object", "maxProperties": 2}


async def test_instances_have_parameters_and_objects_of_their_own(shop: Shop) -> None:
    await shop.api.post("/api/parameters", SPEC)
    assert await shop.api.get("/api/parameters/instances") == ["default"]
    assert await shop.api.post("/api/parameters/instances") == {
        "name": "config-1",
        "namespace": "default",
        "message": "Created parameter instance: config-1",
    }
    await shop.api.post("/api/parameters/instances", {"name": "staging"})
    assert (await shop.api.call("POST", "/api/parameters/instances", {"name": "staging"})).status == 409
    assert (await shop.api.call("POST", "/api/parameters/instances", {"name": "No!"})).status == 400
    assert await shop.api.get("/api/parameters/instances") == ["config-1", "default", "staging"]
    changes = {"global": {"namespace": "staging", "createNamespace": True}}
    await shop.api.call("PATCH", "/api/parameters?instance=staging", changes)
    assert (await shop.api.get("/api/parameters"))["global"]["namespace"] == "default"
    deployed = await shop.up("frontend", instance="staging")
    assert deployed.status == 200, deployed
    assert len(await shop.cluster.list(Kind("Deployment", "apps"), namespace="staging")) == 1
    assert await shop.versions() == {}
    assert (await shop.api.call("DELETE", "/api/parameters/instances/staging")).status == 200
    assert (await shop.api.call("GET", "/api/parameters?instance=staging")).status == 404
    gone = await shop.api.call("POST", "/api/down", {"all": True, "instance": "staging"})
    assert gone.status == 200, gone


async def test_the_history_says_who_when_and_why_and_is_taken_back(shop: Shop) -> None:
    await shop.api.post("/api/parameters?why=first", SPEC)
    await shop.api.post("/api/parameters?why=second", {"services": {"redis": {"replicas": 6}}})
    versions = (await shop.api.get("/api/parameters/history"))["versions"]
    assert [(one["version"], one["action"], one["by"], one["why"]) for one in versions] == [
        (2, "replaced", "local", "second"),
        (1, "replaced", "local", "first"),
    ]
    shown = await shop.api.get("/api/parameters/history/2")
    assert {"path": "services.redis.replicas", "old": 5, "new": 6} in shown["changes"]
    await shop.api.post("/api/parameters/history/1/restore")
    assert await shop.api.get("/api/parameters") == SPEC
    assert (await shop.api.call("POST", "/api/parameters/history/9/restore")).status == 404
    assert (await shop.api.call("GET", "/api/parameters/history/x")).status == 404


async def test_parameters_can_be_kept_in_the_cluster(tmp_path: Path) -> None:
    settings = Settings(parameters=ParametersSettings(store="crd"))
    async with open_shop(tmp_path, settings=settings) as shop:
        await shop.api.post("/api/parameters", SPEC)
        kind = Kind("DeploymentParameters", "conductor.io")
        (kept,) = await shop.cluster.list(kind, namespace="default")
        assert kept["spec"] == SPEC
        assert await shop.api.get("/api/parameters") == SPEC
        assert (await shop.up("redis")).status == 200
