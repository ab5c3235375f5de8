"""What is deployed is watched in the same way in every kind of cluster."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key, Manifest
from stellwerk.release.operations.record import OperationKind, OperationState
from stellwerk.release.watching.drift import DriftKind
from stellwerk.release.watching.reconciling import Mode
from stellwerk.settings import DatabaseSettings
from support import kube
from support.release import Yard
from support.watching import Tower, until
from support.worlds import US, manifest

UP, DOWN = OperationKind.UP, OperationKind.DOWN
SEEN_S = 2.0
"""Within which drift has to be seen."""


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Database]:
    """Which engine makes no difference here."""
    opened = await open_database("sqlite", data_dir=tmp_path / "data", settings=DatabaseSettings())
    yield opened
    await opened.close()


@pytest.fixture
async def tower(embedded: Database, cluster: Cluster, namespace: str) -> AsyncIterator[Tower]:
    """An application in a namespace of the test's own, which is watched."""
    yard = Yard(embedded, cluster, namespace=namespace)
    tower = Tower(yard)
    await yard.start()
    await tower.start()
    yield tower
    await tower.stop()
    await yard.stop()


def wanted(namespace: str, **more: Any) -> list[Manifest]:
    """A Deployment behind a Service, and its settings."""
    service: Body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]},
    }
    bodies = [kube.config_map(namespace), kube.deployment(namespace, **more), service]
    return [manifest(one) for one in bodies]


async def up(tower: Tower, **more: Any) -> None:
    done = await tower.yard.run(UP, wanted(tower.yard.namespace, **more), deadline_s=90.0, within_s=100.0)
    assert done.state is OperationState.SUCCEEDED, done.failure


async def test_a_service_is_healthy_with_its_pods_and_its_port(tower: Tower, namespace: str) -> None:
    await up(tower, replicas=2)
    found = await tower.until("healthy")
    assert (found.namespace, found.port) == (namespace, 80)
    nodes = {node.key.kind: node for node in await tower.watching.tree(US, "web")}
    assert nodes.keys() == {"ConfigMap", "Deployment", "Service"}
    (replica_set,) = nodes["Deployment"].children
    assert [(one.key.kind, one.health.status) for one in replica_set.children] == [("Pod", "healthy")] * 2


async def test_a_pod_that_somebody_deletes_is_seen_and_its_successor_too(
    tower: Tower, cluster: Cluster
) -> None:
    await up(tower)
    await tower.until("healthy")

    async def pods() -> set[Key]:
        (front,) = [one for one in await tower.watching.tree(US, "web") if one.key.kind == "Deployment"]
        return {pod.key for replica_set in front.children for pod in replica_set.children}

    (first,) = await pods()
    await cluster.delete(first)

    async def replaced() -> bool:
        return first not in (now := await pods()) and len(now) == 1

    await until(replaced, lambda: "the successor was not seen", within_s=60.0)
    await tower.until("healthy", within_s=60.0)


async def test_a_warning_of_the_cluster_is_taken_in_for_the_object_that_it_comes_from(
    tower: Tower, cluster: Cluster, namespace: str
) -> None:
    await up(tower)
    await tower.until("healthy")
    (pod,) = await cluster.list(Kind("Pod"), namespace=namespace)
    metadata = pod["metadata"]
    target = {"kind": "Pod", "namespace": namespace, "name": metadata["name"], "uid": metadata["uid"]}
    event: Body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "warning", "namespace": namespace},
        "involvedObject": target,
        "type": "Warning",
        "reason": "Unhappy",
        "message": "it is cold here",
    }
    await cluster.apply(event, manager=kube.MANAGER)
    await cluster.apply(event | {"message": "it is cold here, still"}, manager=kube.MANAGER)

    async def told(count: int) -> list[dict[str, Any]]:
        """Return ours: a busy node may warn of the pod too."""
        events = await tower.events("deploy.object.warned")
        ours = [one for one in events if one["details"]["reason"] == "Unhappy"]
        return ours if len(ours) >= count else []

    await until(lambda: told(1), lambda: "no warning was taken in")
    await cluster.apply(event | {"metadata": {"name": "other", "namespace": namespace}}, manager=kube.MANAGER)
    found = await until(lambda: told(2), lambda: "no second warning was taken in")
    assert {one["group"] for one in found} == {f"{namespace}/Deployment/web"}
    assert [one["details"]["object"] for one in found] == [f"{namespace}/Pod/{metadata['name']}"] * 2


async def test_drift_is_seen_within_two_seconds(tower: Tower, cluster: Cluster, namespace: str) -> None:
    await up(tower)
    await tower.until("healthy")
    front = Key(namespace, "Deployment", "web", "apps")
    settings = Key(namespace, "ConfigMap", "settings")
    clock = asyncio.get_running_loop()
    for number, change in enumerate((_scale, _recolour, _remove), start=1):
        began_at = clock.time()
        await change(cluster, namespace)
        await tower.until_event("deploy.object.drifted", number)
        assert clock.time() - began_at < SEEN_S
    drifts = {key: seen.drift for key, seen in (await tower.watching.drift(US)).items()}
    assert {key: one.kind for key, one in drifts.items()} == {
        front: DriftKind.CHANGED,
        settings: DriftKind.MISSING,
    }
    assert (drifts[front].fields, drifts[front].owner) == (("spec.replicas",), "somebody")


async def _scale(cluster: Cluster, namespace: str) -> None:
    front = Key(namespace, "Deployment", "web", "apps")
    await cluster.patch(front, {"spec": {"replicas": 2}}, manager="somebody")


async def _recolour(cluster: Cluster, namespace: str) -> None:
    await cluster.patch(
        Key(namespace, "ConfigMap", "settings"), {"data": {"colour": "blue"}}, manager="somebody"
    )


async def _remove(cluster: Cluster, namespace: str) -> None:
    await cluster.delete(Key(namespace, "ConfigMap", "settings"))


async def test_what_controllers_and_defaults_add_is_no_drift(tower: Tower, cluster: Cluster) -> None:
    await up(tower)
    await tower.until("healthy")
    examined = tower.watching._watched["default"].holdings
    await until(lambda: _is_empty(examined.suspects), lambda: "something was not compared")
    assert await tower.watching.drift(US) == {}
    assert await tower.events("deploy.object.drifted", "deploy.object.unhealthy") == []


async def _is_empty(what: set[Key]) -> bool:
    return not what


async def test_drift_is_repaired(embedded: Database, cluster: Cluster, namespace: str) -> None:
    yard = Yard(embedded, cluster, namespace=namespace)
    tower = Tower(yard, mode=Mode.REPAIR)
    await yard.start()
    await tower.start()
    await up(tower)
    await tower.until("healthy")
    await _scale(cluster, namespace)
    await _remove(cluster, namespace)
    await tower.until_event("deploy.object.drifted")
    await tower.until_drift(within_s=60.0)
    front = await cluster.get(Key(namespace, "Deployment", "web", "apps"))
    assert front is not None
    assert front["spec"]["replicas"] == 1
    assert await cluster.get(Key(namespace, "ConfigMap", "settings")) is not None
    await tower.stop()
    await yard.stop()
