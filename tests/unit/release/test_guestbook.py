"""The example application, rendered the way it stands in the repository."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from stellwerk.release.application.reading import load
from stellwerk.release.objects import Manifest
from stellwerk.release.parameters.checking import violations
from stellwerk.release.rendering.rendering import AppInfo, render

EXAMPLE = Path(__file__).parents[3] / "examples" / "guestbook"


def objects(spec: dict[str, Any], folder: Path = EXAMPLE / "manifests") -> dict[str, Manifest]:
    app = load(folder)
    assert [str(fault) for fault in app.faults] == []
    assert violations(app, spec) == []
    found = render(app, tuple(app.services), spec, app=AppInfo(app.name), secret_key=b"k")
    assert [str(fault) for fault in found.faults] == []
    return {f"{one.key.kind}/{one.key.name}": one for one in found.manifests}


def container(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = manifest.body["spec"]["template"]["spec"]["containers"][0]
    return found


def test_five_services_give_ten_objects() -> None:
    found = objects({})
    assert sorted(found) == [
        "ConfigMap/api-service-config",
        *(
            f"Deployment/{name}"
            for name in ("api-service", "frontend", "redis-master", "redis-slave", "web-app")
        ),
        *(f"Service/{name}" for name in ("api-service", "frontend", "redis-master", "redis-slave")),
    ]
    assert {one.key.namespace for one in found.values()} == {"default"}


def test_every_image_has_a_tag_of_its_own() -> None:
    found = objects({"global": {"imageTag": "all"}})
    images = {name: container(one)["image"] for name, one in found.items() if name.startswith("Deployment/")}
    assert images == {
        "Deployment/frontend": "gcr.io/google_samples/gb-frontend:v5",
        "Deployment/redis-master": "docker.io/library/redis:6.0.5",
        "Deployment/redis-slave": "gcr.io/google_samples/gb-redisslave:v3",
        "Deployment/api-service": "docker.io/library/busybox:1.36",
        "Deployment/web-app": "docker.io/library/busybox:1.36",
    }


@pytest.mark.parametrize(
    ("image", "expected"),
    [("gcr.io/a/b", "mirror:5000/a/b:1"), ("a/b", "mirror:5000/a/b:1"), ("b", "mirror:5000/b:1")],
)
def test_own_registry_takes_the_place_of_the_named_one(image: str, expected: str) -> None:
    spec = {
        "global": {"imageRegistry": "mirror:5000", "imagePullSecrets": [{"name": "mine"}]},
        "services": {"frontend": {"image": image, "imageTag": "1"}},
    }
    frontend = objects(spec)["Deployment/frontend"]
    assert container(frontend)["image"] == expected
    assert frontend.body["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "mine"}]


def test_prefix_reaches_names_selectors_and_the_names_of_hosts() -> None:
    found = objects({"global": {"namePrefix": "gb-", "namespace": "books"}})
    assert {one.key.namespace for one in found.values()} == {"books"}
    slave = found["Deployment/gb-redis-slave"]
    assert slave.body["spec"]["selector"]["matchLabels"] == {"app": "gb-redis", "role": "slave"}
    assert found["Service/gb-redis-slave"].body["spec"]["selector"] == {"app": "gb-redis", "role": "slave"}
    env = {one["name"]: one["value"] for one in container(found["Deployment/gb-web-app"])["env"]}
    assert env["API_ENDPOINT"] == "http://gb-api-service:8080"
    assert "gb-redis-master" in found["ConfigMap/gb-api-service-config"].body["data"]["config.yaml"]


def test_replicas_of_the_group_are_those_of_its_members() -> None:
    document = {"global": {"namespace": "default", "replicas": 1}, "services": {"redis": {"replicas": 5}}}
    found = objects(document)
    replicas = {name: one.body["spec"]["replicas"] for name, one in found.items() if name.startswith("Dep")}
    assert replicas == {
        "Deployment/api-service": 1,
        "Deployment/frontend": 1,
        "Deployment/redis-master": 5,
        "Deployment/redis-slave": 5,
        "Deployment/web-app": 1,
    }


def test_everything_optional_can_be_asked_for() -> None:
    api = {
        "config": {"database": {"host": "db.example", "port": 5432}, "features": {"caching": False}},
        "ingress": {
            "enabled": True,
            "host": "api.test",
            "tls": {"enabled": True},
            "annotations": {"cert-manager.io/issuer": "x"},
        },
        "service": {"type": "NodePort", "annotations": {"a": "b"}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "initialDelaySeconds": 30},
        "tolerations": [{"operator": "Exists"}],
    }
    found = objects({"services": {"api-service": api, "web-app": {"config": {"features": {"sso": True}}}}})
    pods = found["Deployment/api-service"]
    env = {one["name"]: one["value"] for one in container(pods)["env"]}
    assert env == {
        "DB_HOST": "db.example",
        "DB_PORT": "5432",
        "ENABLE_CACHING": "false",
        "ENABLE_METRICS": "true",
    }
    assert container(pods)["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert "readinessProbe" not in container(pods)
    assert pods.body["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]
    ingress = found["Ingress/api-service"].body
    assert ingress["spec"]["tls"] == [{"hosts": ["api.test"], "secretName": "api-tls"}]
    assert found["Service/api-service"].body["spec"]["type"] == "NodePort"
    sso = {one["name"]: one["value"] for one in container(found["Deployment/web-app"])["env"]}["ENABLE_SSO"]
    assert sso == "true"


def test_another_configuration_makes_other_pods() -> None:
    def checksum(spec: dict[str, Any]) -> str:
        metadata = objects(spec)["Deployment/api-service"].body["spec"]["template"]["metadata"]
        return str(metadata["annotations"]["checksum/config"])

    changed = {"services": {"api-service": {"config": {"features": {"caching": False}}}}}
    assert checksum({}) == checksum({"global": {"replicas": 2}}) != checksum(changed)


def test_annotations_stand_on_pods() -> None:
    notes = {"stellwerk.test/note": "1"}
    found = objects({"global": {"annotations": notes}})
    pods = [one.body["spec"]["template"] for name, one in found.items() if name.startswith("Deployment/")]
    assert all(one["metadata"]["annotations"].items() >= notes.items() for one in pods)


def test_one_small_image_runs_all_five(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    shutil.copytree(EXAMPLE / "manifests", folder)
    shutil.copy(EXAMPLE / "parameters-busybox.yaml", folder / "parameters.yaml")
    found = objects({}, folder)
    pods = [container(one) for name, one in found.items() if name.startswith("Deployment/")]
    assert {one["image"] for one in pods} == {"localhost/busybox:1"}
    assert all(one["command"][0] == "httpd" for one in pods)


def test_names_and_order_are_those_of_the_note() -> None:
    app = load(EXAMPLE / "manifests")
    assert app.groups == {"redis": ("redis-master", "redis-slave")}
    assert app.depends_on["frontend"] == ("redis-master", "redis-slave")
    assert [one.check for one in app.requirements] == [
        "kubernetes-version",
        "node-count",
        "storage-class",
        "cpu",
        "memory",
    ]
