"""Services and requirements over HTTP."""

from pathlib import Path

import pytest

from support.shop import DEPLOYMENT, FILES, Shop, open_shop

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: {{ service.name }}
spec:
  selector: {app: {{ service.name }}}
  ports: [{port: 6379}]
"""
REQUIREMENTS = """\
requirements:
  - name: version
    description: Kubernetes of these years
    required: true
    checkType: kubernetes-version
    checkConfig: {minimumVersion: "MINIMUM"}
  - name: nodes
    required: true
    checkType: node-count
  - name: stars
    checkType: custom
"""
WITH_VARIABLES = (
    DEPLOYMENT
    + """\
          env:
            - {name: GET_HOSTS_FROM, value: dns}
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: redis, key: password, optional: true}}}
          envFrom:
            - configMapRef: {name: settings, optional: true}
"""
)


async def test_services_are_folders_and_tell_whether_they_are_deployed(shop: Shop) -> None:
    shop.write({"redis-master/service.yaml": SERVICE, "frontend/broken.yaml": "a: [\n"})
    await shop.up("redis")
    listed = {one.pop("name"): one for one in (await shop.api.get("/api/services"))["services"]}
    assert list(listed) == ["frontend", "redis-master", "redis-slave"]
    assert listed["redis-master"] == {
        "namespace": "default",
        "port": 6379,
        "installed": True,
        "described": True,
        "groups": ["redis"],
    }
    assert (listed["frontend"]["installed"], listed["frontend"]["port"]) == (False, 0)
    assert [*listed["frontend"]["faults"]] == ["frontend/broken.yaml:2"]


async def test_what_is_deployed_and_no_longer_described_is_still_listed(shop: Shop) -> None:
    await shop.up()
    shop.remove("redis-slave/deployment.yaml")
    shop.write({"stellwerk.yaml": "name: shop\n"})
    listed = {one["name"]: one for one in (await shop.api.get("/api/services"))["services"]}
    assert (listed["redis-slave"]["installed"], listed["redis-slave"]["described"]) == (True, False)


async def test_services_are_listed_without_a_cluster(tmp_path: Path) -> None:
    async with open_shop(tmp_path, cluster=None) as shop:
        listed = (await shop.api.get("/api/services"))["services"]
        assert [(one["name"], one["installed"]) for one in listed] == [
            ("frontend", False),
            ("redis-master", False),
            ("redis-slave", False),
        ]
        assert (await shop.api.call("GET", "/api/cluster/requirements")).status == 503


async def test_variables_name_the_place_of_a_value_that_is_kept_elsewhere(shop: Shop) -> None:
    shop.write({"redis-master/deployment.yaml": WITH_VARIABLES, "redis-master/service.yaml": SERVICE})
    await shop.up("redis-master")
    assert await shop.api.get("/api/service/default/redis-master") == {
        "name": "redis-master",
        "env": [
            {"name": "GET_HOSTS_FROM", "value": "dns"},
            {"name": "PASSWORD", "source": "secret:redis/password"},
            {"name": "*", "source": "configmap:settings/*"},
        ],
    }


async def test_only_what_the_application_deployed_is_shown(shop: Shop) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "theirs", "namespace": "default"},
        "spec": {"ports": [{"port": 1}]},
    }
    await shop.cluster.apply(body, manager="somebody")
    answer = await shop.api.call("GET", "/api/service/default/theirs")
    assert (answer.status, answer.body["error"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "code"), [("No/redis", "invalid_namespace"), ("default/Red_is", "invalid_service_name")]
)
async def test_names_that_cannot_be_are_refused(shop: Shop, path: str, code: str) -> None:
    answer = await shop.api.call("GET", f"/api/service/{path}")
    assert (answer.status, answer.body["error"]) == (400, code)


async def test_requirements_are_judged(shop: Shop) -> None:
    shop.write({"requirements.yaml": REQUIREMENTS.replace("MINIMUM", "1.24")})
    found = await shop.api.get("/api/cluster/requirements")
    statuses = {one["name"]: one["status"] for one in found["requirements"]}
    assert statuses.items() >= {("version", "pass"), ("nodes", "pass"), ("stars", "warning")}
    assert found["overall"] == "warning"
    shop.write({"requirements.yaml": REQUIREMENTS.replace("MINIMUM", "1.99").replace("custom", "cpu")})
    found = await shop.api.get("/api/cluster/requirements")
    assert found["overall"] == "fail"
    assert found["requirements"][0].keys() == {"name", "description", "status", "message", "required"}
    assert (await shop.up("redis")).status == 200
    shop.write({"requirements.yaml": "requirements: [\n"})
    assert (await shop.api.get("/api/cluster/requirements"))["overall"] == "fail"


async def test_requirements_can_be_a_gate(tmp_path: Path) -> None:
    files = {**FILES, "requirements.yaml": REQUIREMENTS.replace("MINIMUM", "1.99").replace("custom", "cpu")}
    async with open_shop(tmp_path, files=files, gate=True) as shop:
        answer = await shop.up("redis")
        assert (answer.status, answer.body["error"]) == (409, "requirements_not_met")
        assert answer.body["details"].keys() == {"version"}
        assert await shop.versions() == {}
        assert (await shop.api.get("/api/operations"))["operations"] == []
        shop.write({"requirements.yaml": REQUIREMENTS.replace("MINIMUM", "1.20").replace("custom", "cpu")})
        assert (await shop.up("redis")).status == 200
