"""Watching what is deployed, on both engines, over the simulated cluster."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from stellwerk.database.database import Database
from stellwerk.release.clusters.cluster import Changed
from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.sandbox.sandbox import Sandbox
from stellwerk.release.objects import Body, Key
from stellwerk.release.operations.record import OperationKind, OperationState
from stellwerk.release.watching.drift import DriftKind
from stellwerk.release.watching.reconciling import Mode, Reconciler
from stellwerk.release.watching.record import DeploymentState
from support.release import Yard, config, deployment
from support.watching import Tower, until
from support.worlds import US, body, manifest

UP, DOWN = OperationKind.UP, OperationKind.DOWN
FRONT = Key("shop", "Deployment", "front", "apps")
ONE = Key("shop", "ConfigMap", "one")


@pytest.fixture
async def yard(database: Database) -> AsyncIterator[Yard]:
    yard = Yard(database)
    await yard.start()
    yield yard
    await yard.stop()


@pytest.fixture
async def tower(yard: Yard) -> AsyncIterator[Tower]:
    tower = Tower(yard)
    await tower.start()
    yield tower
    await tower.stop()


async def scale(yard: Yard, replicas: int, manager: str = "somebody") -> None:
    await yard.cluster.patch(FRONT, {"spec": {"replicas": replicas}}, manager=manager)


async def warn(yard: Yard, about: Key, uid: str, reason: str = "FailedMount", count: int = 1) -> None:
    """Let the cluster warn about an object."""
    target = {"kind": about.kind, "name": about.name, "namespace": about.namespace, "uid": uid}
    event: Body = body("Event", f"{about.name}.{reason.lower()}", type="Warning", reason=reason)
    event |= {"involvedObject": target, "message": "cannot mount", "count": count}
    await yard.put(event, manager="kubelet")


async def uid_of(yard: Yard, key: Key) -> str:
    found = await yard.cluster.get(key)
    assert found is not None
    return str(found["metadata"]["uid"])


async def test_a_service_that_is_not_deployed_is_unknown_and_not_installed(tower: Tower) -> None:
    found = await tower.health()
    assert (found.installed, found.health.status) == (False, "unknown")


async def test_health_of_services_is_that_of_their_worst_object(tower: Tower) -> None:
    await tower.yard.run(UP, [deployment("front"), config("one")])
    healthy = await tower.until("healthy")
    assert (healthy.installed, healthy.namespace, healthy.worst) == (True, "shop", None)
    await tower.yard.run(UP, [deployment("front", fail="crash", tag="2"), config("one")])
    broken = await tower.until("degraded")
    assert broken.worst == FRONT
    assert broken.health.reason is not None
    assert broken.health.reason.code == "CrashLoopBackOff"


async def test_the_tree_shows_what_was_made_for_an_object(tower: Tower) -> None:
    await tower.yard.run(UP, [deployment("front", replicas=2)])
    await tower.until("healthy")
    (front,) = await tower.watching.tree(US, "web")
    assert (front.key, front.owned) == (FRONT, True)
    (replica_set,) = front.children
    assert replica_set.key.kind == "ReplicaSet"
    assert [(one.key.kind, one.health.status) for one in replica_set.children] == [("Pod", "healthy")] * 2


async def test_pods_of_others_are_not_kept(tower: Tower) -> None:
    theirs = deployment("theirs").body
    await tower.yard.put(theirs)
    await tower.yard.run(UP, [deployment("front")])
    await tower.until("healthy")
    watched = tower.watching._watched["default"]
    assert len(watched.holdings.table) == 3  # the Deployment, its ReplicaSet, its pod


async def test_a_trouble_is_told_once_and_its_end(tower: Tower) -> None:
    await tower.yard.run(UP, [deployment("front")])
    await tower.until("healthy")
    await tower.yard.cluster.delete(FRONT, propagation="orphan")
    (event,) = await tower.until_event("deploy.object.unhealthy")
    assert event["resourceKey"] == "shop/Deployment/front"
    assert (event["type"], event["error"]) == ("error", "Missing")
    await until(lambda: _changes(tower, 1), lambda: "nobody was told")
    change = tower.changes[0]
    assert (change.service, change.well, change.code) == ("web", False, "Missing")


async def _changes(tower: Tower, count: int) -> bool:
    return len(tower.changes) >= count


async def test_what_was_told_is_not_told_again_after_a_restart(tower: Tower) -> None:
    await tower.yard.run(UP, [deployment("front")])
    await tower.until("healthy")
    await tower.yard.cluster.delete(FRONT)
    await tower.until_event("deploy.object.unhealthy")
    await tower.stop()
    again = Tower(tower.yard, holder="there")
    await again.start()
    await again.until("missing")
    await again.until_drift(FRONT)
    assert len(await again.events("deploy.object.unhealthy")) == 1
    assert again.changes == []
    await again.stop()


async def test_what_an_operation_told_is_not_told_again(tower: Tower) -> None:
    failed = await tower.yard.run(UP, [deployment("front", fail="crash")])
    assert failed.state is OperationState.FAILED
    await until(lambda: _changes(tower, 1), lambda: "nobody was told")
    assert len(await tower.events("deploy.object.failed")) == 1
    assert await tower.events("deploy.object.unhealthy") == []
    (error, *_) = (await tower.watching.state(US, "web")).errors
    assert error.code == "CrashLoopBackOff"


async def test_warnings_of_the_cluster_are_taken_in_once_over_restarts(tower: Tower) -> None:
    await tower.yard.run(UP, [deployment("front")])
    await tower.until("healthy")
    (front,) = await tower.watching.tree(US, "web")
    pod = front.children[0].children[0].key
    await warn(tower.yard, pod, await uid_of(tower.yard, pod))
    (event,) = await tower.until_event("deploy.object.warned")
    assert event["group"] == event["resourceKey"] == "shop/Deployment/front"
    assert event["message"] == "FailedMount: cannot mount"
    assert event["details"]["object"] == str(pod)
    await tower.stop()
    again = Tower(tower.yard)
    await again.start()
    await again.until("healthy")
    await warn(tower.yard, pod, await uid_of(tower.yard, pod), count=2)
    await warn(tower.yard, FRONT, await uid_of(tower.yard, FRONT), reason="Other")
    assert len(await again.until_event("deploy.object.warned", 2)) == 2
    await again.stop()


class Blind(Sandbox):
    """A cluster that lets nobody read or watch Secrets."""

    def watch(self, kind: Kind, **more: Any) -> AsyncGenerator[Changed, None]:
        if kind.kind == "Secret":
            raise Refused("forbidden", "secrets is forbidden: cannot watch resource", 403)
        return super().watch(kind, **more)


async def test_what_may_not_be_watched_makes_no_service_unknown(database: Database) -> None:
    yard = Yard(database, Blind(start_s=0.02))
    await yard.put(body("Namespace", "shop", namespace=""))
    await yard.start()
    tower = Tower(yard)
    await tower.start()
    secret = manifest(body("Secret", "keys", data={"a": "YQ=="}))
    await yard.run(UP, [secret, deployment("front")])
    found = await tower.until("healthy")
    assert found.worst is None
    nodes = {node.key.kind: node.health for node in await tower.watching.tree(US, "web")}
    assert nodes["Secret"].status == "unknown"
    assert "not visible" in nodes["Secret"].message
    await tower.stop()
    await yard.stop()
    await yard.cluster.close()


async def test_drift_is_seen_told_and_over_when_it_is_undone(tower: Tower) -> None:
    await tower.yard.run(UP, [deployment("front"), config("one", a="1")])
    await tower.until("healthy")
    await scale(tower.yard, 3, manager="kubectl")
    await tower.until_drift(FRONT)
    drift = (await tower.watching.drift(US))[FRONT].drift
    assert (drift.kind, drift.fields, drift.owner) == (DriftKind.CHANGED, ("spec.replicas",), "kubectl")
    (event,) = await tower.until_event("deploy.object.drifted")
    assert event["message"] == "Object is not as it was applied: spec.replicas (set by kubectl)"
    assert (await tower.health()).drifted == 1
    await scale(tower.yard, 1)
    await tower.until_drift()
    await tower.until_event("deploy.object.restored")


async def test_an_object_that_somebody_deleted_drifted(tower: Tower) -> None:
    await tower.yard.run(UP, [config("one", a="1")])
    await tower.until("healthy")
    await tower.yard.cluster.delete(ONE)
    await tower.until_drift(ONE)
    assert (await tower.watching.drift(US))[ONE].drift.kind is DriftKind.MISSING


async def test_an_operation_is_no_drift(tower: Tower) -> None:
    await tower.yard.run(UP, [config("one", a="1"), deployment("front")])
    await tower.until("healthy")
    await tower.yard.run(UP, [config("one", a="2"), deployment("front", tag="2", replicas=2)])
    await tower.yard.run(DOWN)
    await until(lambda: _gone(tower), lambda: "something is still watched")
    assert await tower.events("deploy.object.drifted", "deploy.object.unhealthy") == []


async def _gone(tower: Tower) -> bool:
    return not (await tower.health()).installed


async def test_nothing_is_repaired_unless_that_is_wanted(tower: Tower) -> None:
    await tower.yard.run(UP, [config("one", a="1")])
    await tower.until("healthy")
    await tower.yard.cluster.delete(ONE)
    await tower.until_drift(ONE)
    assert await tower.yard.cluster.get(ONE) is None
    assert len(await tower.yard.operations.list(US)) == 1


async def test_what_no_watch_shows_is_reported_by_comparing_everything_and_left_as_it_is(
    database: Database,
) -> None:
    keys = Key("shop", "Secret", "keys")
    yard = Yard(database, Blind(start_s=0.02))
    await yard.put(body("Namespace", "shop", namespace=""))
    await yard.start()
    tower = Tower(yard)
    await tower.start()
    await yard.run(UP, [manifest(body("Secret", "keys", data={"a": "YQ=="})), config("one", a="1")])
    await tower.until("healthy")
    await yard.cluster.patch(keys, {"data": {"a": "Yg=="}}, manager="kubectl")
    await yard.cluster.patch(ONE, {"data": {"a": "2"}}, manager="kubectl")
    await tower.until_drift(ONE)  # watched; so much was seen without comparing

    comparing = Reconciler(yard.tools, yard.operations, tower.watching, mode=Mode.REPORT, pass_s=0.1)
    await comparing.start()
    await tower.until_drift(ONE, keys)
    told = await tower.until_event("deploy.object.drifted", 2)
    assert [one["resourceKey"] for one in told] == [str(ONE), str(keys)]
    assert "kubectl" in told[1]["message"]
    looked = (await tower.watching.state(US, "web")).last_reconciliation
    assert looked is not None

    async def compared_again() -> bool:
        last = (await tower.watching.state(US, "web")).last_reconciliation
        return last is not None and last.at > looked.at

    await until(compared_again, lambda: "it was compared only once")
    left = await yard.cluster.get(keys)
    assert left is not None
    assert left["data"] == {"a": "Yg=="}
    assert [one.kind for one in await yard.operations.list(US)] == [UP]
    assert len(await tower.events("deploy.object.drifted")) == 2
    await yard.cluster.patch(keys, {"data": {"a": "YQ=="}}, manager="kubectl")
    await tower.until_drift(ONE)
    await comparing.stop()
    await tower.stop()
    await yard.stop()
    await yard.cluster.close()


@pytest.fixture
async def repairing(yard: Yard) -> AsyncIterator[Tower]:
    tower = Tower(yard, mode=Mode.REPAIR)
    await tower.start()
    yield tower
    await tower.stop()


async def test_drift_is_repaired_and_leaves_no_release(repairing: Tower) -> None:
    await repairing.yard.run(UP, [config("one", a="1"), deployment("front")])
    await repairing.until("healthy")
    await scale(repairing.yard, 3)
    await repairing.yard.cluster.delete(ONE)
    await repairing.until_event("deploy.object.drifted", 2)
    await repairing.until_drift()
    restored = await repairing.yard.cluster.get(FRONT)
    assert restored is not None
    assert restored["spec"]["replicas"] == 1
    assert await repairing.yard.cluster.get(ONE) is not None
    last, first = await repairing.yard.operations.list(US)
    assert (last.kind, last.by, first.kind) == (OperationKind.REPAIR, "reconciler", UP)
    assert len(await repairing.yard.operations.releases(US)) == 1
    state = await repairing.watching.state(US, "web")
    assert (state.state, state.drift) == (DeploymentState.DEPLOYED, ())
    assert state.last_reconciliation is not None


async def test_a_paused_service_is_not_repaired_until_it_is_resumed(repairing: Tower) -> None:
    watching = repairing.watching
    await repairing.yard.run(UP, [config("one", a="1"), config("two", "api")], services=("web", "api"))
    await repairing.until("healthy")
    await watching.pause(US, "web", by="ann", why="looking")
    two = Key("shop", "ConfigMap", "two")
    await repairing.yard.cluster.delete(ONE)
    await repairing.yard.cluster.delete(two)
    await repairing.until_drift(ONE)  # the other one is repaired
    paused = (await watching.state(US, "web")).paused
    assert paused is not None
    assert (paused.by, paused.why) == ("ann", "looking")
    assert await watching.resume(US, "web", by="ann")
    assert not await watching.resume(US, "web", by="ann")
    await repairing.until_drift()
    assert [one["kind"] for one in await repairing.events("deploy.reconciler.*")] == [
        "deploy.reconciler.paused",
        "deploy.reconciler.resumed",
    ]


async def test_what_another_application_took_is_left_alone(repairing: Tower) -> None:
    await repairing.yard.run(UP, [config("one", a="1")])
    await repairing.until("healthy")
    theirs = {"stellwerk.dev/application": "bank", "app.kubernetes.io/managed-by": "stellwerk"}
    await repairing.yard.cluster.patch(ONE, {"metadata": {"labels": theirs}}, manager="bank")
    await repairing.until_drift(ONE)
    assert (await repairing.watching.drift(US))[ONE].drift.kind is DriftKind.TAKEN
    assert len(await repairing.yard.operations.list(US)) == 1


async def test_only_one_of_two_replicas_writes(tower: Tower) -> None:
    other = Tower(tower.yard, holder="there")
    await other.start()
    await tower.yard.run(UP, [config("one", a="1")])
    await tower.until("healthy")
    await other.until("healthy")
    await tower.yard.cluster.delete(ONE)
    await other.until("missing")
    await tower.until_event("deploy.object.unhealthy")
    await tower.until_drift(ONE)
    assert tower.watching.records is not other.watching.records
    assert len(await tower.events("deploy.object.unhealthy")) == 1
    assert len(tower.changes) + len(other.changes) == 1
    await other.stop()


async def test_the_state_tells_what_became_of_a_service(tower: Tower) -> None:
    async def state() -> DeploymentState:
        return (await tower.watching.state(US, "web")).state

    assert await state() is DeploymentState.ABSENT
    await tower.yard.run(UP, [deployment("front", fail="crash")])
    assert await state() is DeploymentState.FAILED
    await tower.yard.run(UP, [deployment("front", tag="2")])
    assert await state() is DeploymentState.DEPLOYED
    await tower.yard.run(DOWN)
    assert await state() is DeploymentState.REMOVED
