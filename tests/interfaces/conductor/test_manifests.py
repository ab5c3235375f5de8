"""Manifests over HTTP: as they are rendered, and templates in the place of single objects."""

from typing import Any

import pytest
import yaml

from stellwerk.database.unit import Sql
from stellwerk.release.objects import Key
from support.shop import CONFIG, Shop

KEY = "default/ConfigMap/frontend-config"
OVERRIDE = CONFIG.replace("data:\n", "data:\n  size: {{ service.replicas | quote }}\n")
SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: hunter2}
"""


async def live(shop: Shop) -> dict[str, str]:
    found = await shop.cluster.get(Key("default", "ConfigMap", "frontend-config"))
    assert found is not None
    return dict(found["data"])


async def test_manifests_are_shown_as_plain_text_and_follow_parameters(shop: Shop) -> None:
    shown = await shop.api.get("/manifests")
    assert shown.keys() == {
        KEY,
        "default/Deployment/frontend",
        "default/Deployment/redis-master",
        "default/Deployment/redis-slave",
    }
    await shop.set(frontend={"colour": "blue"})
    one = await shop.api.call("GET", f"/manifests/{KEY}")
    assert one.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(one.body)["data"] == {"colour": "blue"}
    assert await shop.api.get("/manifests/") == await shop.api.get("/manifests")
    unknown = await shop.api.call("GET", "/manifests/default/ConfigMap/nothing")
    assert (unknown.status, unknown.body["error"]) == (404, "not_found")


async def test_an_override_holds_from_the_next_up_and_still_follows_parameters(shop: Shop) -> None:
    await shop.up()
    made = await shop.api.call("POST", "/manifests", {"key": KEY, "value": OVERRIDE})
    assert (made.status, made.body) == (201, b"")
    assert await live(shop) == {"colour": "red"}
    await shop.set(frontend={"replicas": 3, "colour": "blue"})
    assert (await shop.up("frontend")).status == 200
    assert await live(shop) == {"size": "3", "colour": "blue"}
    assert [*await shop.api.get("/manifests?overridden=true")] == [KEY]
    changed = await shop.api.call("PUT", f"/manifests/{KEY}", {"value": CONFIG.replace('"red"', '"x"')})
    assert (changed.status, changed.body) == (200, b"")
    gone = await shop.api.call("DELETE", f"/manifests/{KEY}")
    assert (gone.status, gone.body) == (204, b"")
    assert (await shop.api.call("DELETE", f"/manifests/{KEY}")).status == 404
    assert (await shop.up("frontend")).status == 200
    assert await live(shop) == {"colour": "blue"}


async def test_an_object_can_be_added_to_a_service_and_goes_with_the_override(shop: Shop) -> None:
    key, value = "default/Secret/password", SECRET
    lost = await shop.api.call("POST", "/manifests", {"key": key, "value": value})
    assert (lost.status, lost.body["error"]) == (400, "validation_error")
    await shop.api.post("/manifests", {"key": key, "value": value, "service": "frontend"})
    assert "hunter2" not in repr(await shop.api.get("/manifests"))
    await shop.up()
    assert await shop.cluster.get(Key("default", "Secret", "password")) is not None
    await shop.api.delete(f"/manifests/{key}")
    await shop.up("frontend")
    assert await shop.cluster.get(Key("default", "Secret", "password")) is None


async def test_what_is_kept_of_an_override_is_sealed(shop: Shop) -> None:
    body = {"key": "default/Secret/password", "value": SECRET, "service": "frontend"}
    await shop.api.post("/manifests", body)

    def everything():  # type: ignore[no-untyped-def]
        return (yield Sql("SELECT * FROM manifest_overrides"))

    rows = await shop.plane.control.subjects.database.read(everything)
    assert len(rows) == 1
    assert b"hunter2" not in bytes(rows[0][4])
    assert "hunter2" not in repr(await shop.api.get("/api/events"))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"key": KEY, "value": "a: [1"}, "invalid_yaml"),
        ({"key": KEY, "value": "kind: ConfigMap\n"}, "validation_error"),
        ({"key": KEY, "value": CONFIG.replace("-config", "-other")}, "validation_error"),
        ({"key": KEY, "value": OVERRIDE.replace("replicas", "replicaz")}, "validation_error"),
        ({"key": KEY, "value": ""}, "validation_error"),
        ({"key": KEY}, "validation_error"),
        ({"key": "x" * 513, "value": CONFIG}, "validation_error"),
        ({"key": KEY, "value": CONFIG, "values": 1}, "validation_error"),
    ],
)
async def test_what_does_not_fit_is_refused_and_nothing_is_kept(shop: Shop, body: Any, code: str) -> None:
    before = await shop.api.get("/manifests")
    answer = await shop.api.call("POST", "/manifests", body)
    assert (answer.status, answer.body["error"]) == (400, code), answer
    assert await shop.api.get("/manifests") == before


async def test_who_may_deploy_may_not_put_other_manifests_in_place(shop: Shop) -> None:
    deployer = await shop.plane.key("services:read", "services:deploy")
    refused = await deployer.call("POST", "/manifests", {"key": KEY, "value": CONFIG})
    assert (refused.status, refused.body["error"]) == (403, "missing_scope")
    unknown = await shop.api.call("PUT", "/manifests/default/ConfigMap/no", {"value": CONFIG})
    assert unknown.status == 404
