"""What only the simulated cluster does: it fails on request, and says that nothing of it is real."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stellwerk.release.clusters.errors import Gone, Refused
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.clusters.sandbox.sandbox import Sandbox
from stellwerk.release.clusters.sandbox.table import Table
from stellwerk.release.objects import Body, Key, key_of
from stellwerk.release.reasons import with_log
from support.kube import (
    MANAGER,
    config_map,
    definition,
    deployment,
    health_of,
    job,
    until_gone,
    until_health,
    until_listed,
    until_reason,
)

SPACE = "default"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox whose pods need no time."""
    sandbox = Sandbox(start_s=0.02)
    yield sandbox
    await sandbox.close()


def failing(how: str, **notes: str) -> Body:
    workload = deployment(SPACE)
    asked = {"fail": how, **notes}
    workload["spec"]["template"]["metadata"]["annotations"] = {
        f"sandbox.stellwerk.dev/{name.replace('_', '-')}": text for name, text in asked.items()
    }
    return workload


@pytest.mark.parametrize(
    ("how", "code", "certain"),
    [
        ("image-pull", "ImagePullBackOff", True),
        ("crash", "CrashLoopBackOff", True),
        ("oom", "OOMKilled", True),
        ("probe", "ProbeFailed", False),
    ],
)
async def test_a_template_may_ask_for_its_failure(
    sandbox: Sandbox, how: str, code: str, certain: bool
) -> None:
    await sandbox.apply(failing(how), manager=MANAGER)

    found = await until_reason(sandbox, failing(how), code)

    assert found.reason is not None
    assert found.reason.certain is certain


async def test_a_crash_has_the_exit_code_and_the_log_that_are_asked_for(sandbox: Sandbox) -> None:
    workload = failing("crash", exit_code="3", log="starting\nno database")
    await sandbox.apply(workload, manager=MANAGER)

    reason = (await until_reason(sandbox, workload, "CrashLoopBackOff")).reason

    assert reason is not None
    assert reason.log is not None
    assert "exit code 3" in reason.message
    log = await sandbox.logs(SPACE, reason.log.pod, reason.log.container, previous=True)
    assert with_log(reason, log).message.endswith("last line: no database")
    assert await sandbox.logs(SPACE, reason.log.pod, reason.log.container, tail=1) == "no database\n"
    with pytest.raises(Gone):
        await sandbox.logs(SPACE, "nobody", "main")


async def test_a_registry_that_exists_nowhere_gives_no_image(sandbox: Sandbox) -> None:
    workload = deployment(SPACE, image="registry.invalid/shop:2")
    await sandbox.apply(workload, manager=MANAGER)

    found = await until_reason(sandbox, workload, "ImagePullBackOff")

    assert "registry.invalid/shop:2" in found.message


async def test_everything_simulated_says_so(sandbox: Sandbox) -> None:
    await sandbox.apply(failing("crash"), manager=MANAGER)
    await until_reason(sandbox, failing("crash"), "CrashLoopBackOff")

    events = await sandbox.list(Kind("Event"))
    (node,) = await sandbox.list(Kind("Node"))

    assert sandbox.simulated
    assert (await sandbox.version()).endswith("-sandbox")
    assert node["status"]["nodeInfo"]["osImage"] == "a simulation"
    assert events
    assert all(one["message"].endswith("(simulated)") for one in events)


async def test_nothing_is_looked_at_while_nothing_is_due(sandbox: Sandbox) -> None:
    await sandbox.apply(deployment(SPACE, replicas=3), manager=MANAGER)
    await until_health(sandbox, deployment(SPACE), lambda one: one.status == "healthy")

    async with asyncio.timeout(10):
        while sandbox._due is not None:  # noqa: ASYNC110  the last look finds nothing to do
            await asyncio.sleep(0.01)

    before = await sandbox.list(Kind("Pod"))
    sandbox._simulate()
    assert await sandbox.list(Kind("Pod")) == before
    assert sandbox._due is None


async def test_a_rollout_never_has_more_pods_or_fewer_ready_ones_than_its_strategy_says(
    sandbox: Sandbox,
) -> None:
    await sandbox.apply(deployment(SPACE, replicas=8), manager=MANAGER)
    await until_health(sandbox, deployment(SPACE), lambda one: one.status == "healthy")
    changed = deployment(SPACE, replicas=8, image="localhost/busybox:2")
    seen: list[tuple[int, int]] = []
    told = sandbox.watch(Kind("Deployment", "apps"))
    await sandbox.apply(changed, manager=MANAGER)

    async with asyncio.timeout(10):
        async for change in told:
            status = change.object.get("status", {})
            seen.append((status.get("replicas", 8), status.get("availableReplicas", 8)))
            if (await health_of(sandbox, key_of(changed))).status == "healthy":
                break
    await told.aclose()

    assert max(replicas for replicas, _ in seen) <= 10
    assert min(available for _, available in seen) >= 6


async def test_going_back_to_an_earlier_template_takes_its_replica_set_again(sandbox: Sandbox) -> None:
    for image in ("a:1", "a:2", "a:1"):
        workload = deployment(SPACE, image=image)
        await sandbox.apply(workload, manager=MANAGER)
        await until_health(sandbox, workload, lambda one: one.status == "healthy")

    sets = await sandbox.list(Kind("ReplicaSet", "apps"))

    revisions = {
        one["spec"]["template"]["spec"]["containers"][0]["image"]: one["metadata"]["annotations"]
        for one in sets
    }
    assert {image: notes["deployment.kubernetes.io/revision"] for image, notes in revisions.items()} == {
        "a:1": "3",
        "a:2": "2",
    }


async def test_a_rollout_that_does_not_move_is_given_up_after_its_deadline(sandbox: Sandbox) -> None:
    workload = failing("probe")
    workload["spec"]["progressDeadlineSeconds"] = 1
    await sandbox.apply(workload, manager=MANAGER)

    found = await until_health(sandbox, workload, lambda one: one.status == "degraded")

    assert "exceeded its progress deadline" in found.message


async def test_a_job_that_fails_is_tried_as_often_as_it_says(sandbox: Sandbox) -> None:
    work = job(SPACE)
    work["spec"] |= {"backoffLimit": 1}
    work["spec"]["template"]["metadata"] = {"annotations": {"sandbox.stellwerk.dev/fail": "crash"}}
    await sandbox.apply(work, manager=MANAGER)

    found = await until_health(sandbox, work, lambda one: one.status == "degraded")

    assert "backoff limit" in found.message
    assert [pod["status"]["phase"] for pod in await sandbox.list(Kind("Pod"))] == ["Failed", "Failed"]


async def test_a_stateful_set_makes_its_pods_one_by_one_with_claims_of_their_own(sandbox: Sandbox) -> None:
    workload = stateful_set(replicas=2)
    await sandbox.apply(workload, manager=MANAGER)
    await until_health(sandbox, workload, lambda one: one.status == "healthy")

    workload["spec"]["template"]["spec"]["containers"][0]["image"] = "db:2"
    await sandbox.apply(workload, manager=MANAGER)
    await until_health(sandbox, workload, lambda one: one.status == "healthy")

    pods = await sandbox.list(Kind("Pod"))
    claims = await sandbox.list(Kind("PersistentVolumeClaim"))
    assert {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in pods} == {
        "db-0": "db:2",
        "db-1": "db:2",
    }
    assert [claim["metadata"]["name"] for claim in claims] == ["data-db-0", "data-db-1"]


async def test_a_daemon_set_has_a_pod_on_the_node(sandbox: Sandbox) -> None:
    workload = deployment(SPACE, "agent") | {"kind": "DaemonSet"}
    del workload["spec"]["replicas"]
    await sandbox.apply(workload, manager=MANAGER)

    await until_health(sandbox, workload, lambda one: one.status == "healthy")

    (pod,) = await sandbox.list(Kind("Pod"))
    assert pod["spec"]["nodeName"] == "sandbox"


async def test_a_cordoned_node_takes_nothing_until_it_is_open_again(sandbox: Sandbox) -> None:
    node = Key("", "Node", "sandbox")
    await sandbox.patch(node, {"spec": {"unschedulable": True}}, manager="somebody")
    await sandbox.apply(deployment(SPACE), manager=MANAGER)
    await until_reason(sandbox, deployment(SPACE), "Unschedulable")

    await sandbox.patch(node, {"spec": {"unschedulable": None}}, manager="somebody")

    await until_health(sandbox, deployment(SPACE), lambda one: one.status == "healthy")


async def test_what_a_definition_does_not_know_is_left_out_and_what_it_forbids_is_refused(
    sandbox: Sandbox,
) -> None:
    defined = definition("shop.example")
    size = {"type": "integer", "maximum": 9, "default": 2}
    spec = {"type": "object", "properties": {"size": size}}
    defined["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {
        "type": "object",
        "properties": {"spec": spec},
    }
    await sandbox.apply(defined, manager=MANAGER)

    kept = await sandbox.apply(widget(unknown=1), manager=MANAGER)
    with pytest.raises(Refused, match=r"spec\.size"):
        await sandbox.apply(widget(size=10), manager=MANAGER)

    assert kept.object["spec"] == {"size": 2}
    await sandbox.delete(key_of(defined))
    assert Kind("Widget", "shop.example") not in [(one.kind, one.group) for one in await sandbox.kinds()]


async def test_foreground_deletion_waits_for_what_is_held(sandbox: Sandbox) -> None:
    owner = (await sandbox.apply(config_map(SPACE, "owner"), manager=MANAGER)).object
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    held = config_map(
        SPACE, "held", metadata={"ownerReferences": [reference], "finalizers": ["example.com/hold"]}
    )
    await sandbox.apply(held, manager=MANAGER)

    await sandbox.delete(key_of(owner), propagation="foreground")

    waiting = await sandbox.get(key_of(owner))
    assert waiting is not None
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await sandbox.patch(key_of(held), {"metadata": {"finalizers": None}}, manager=MANAGER)
    await until_gone(sandbox, owner)
    assert await sandbox.get(key_of(held)) is None


async def test_a_strategic_patch_changes_one_container_and_a_scale_the_replicas(sandbox: Sandbox) -> None:
    workload = deployment(SPACE)
    workload["spec"]["template"]["spec"]["containers"].append({"name": "beside", "image": "b:1"})
    await sandbox.apply(workload, manager=MANAGER)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "beside", "image": "b:2"}]}}}}

    changed = await sandbox.patch(key_of(workload), patch, manager="other", patch_type="strategic")
    scaled = await sandbox.patch(
        key_of(workload), {"spec": {"replicas": 4}}, manager="other", subresource="scale"
    )

    images = [one["image"] for one in changed["spec"]["template"]["spec"]["containers"]]
    assert images == ["localhost/busybox:1", "b:2"]
    assert scaled["spec"]["replicas"] == 4


async def test_a_status_is_not_written_with_the_rest(sandbox: Sandbox) -> None:
    workload = deployment(SPACE, replicas=0)
    applied = await sandbox.apply(workload | {"status": {"readyReplicas": 7}}, manager=MANAGER)

    assert "readyReplicas" not in applied.object.get("status", {})
    node = await sandbox.patch(
        Key("", "Node", "sandbox"), {"status": {"phase": "Odd"}}, manager="other", subresource="status"
    )
    assert node["status"]["phase"] == "Odd"


@pytest.mark.parametrize(
    "wrong",
    [
        config_map(SPACE, "Upper"),
        config_map(SPACE, data={"a": 1}),  # type: ignore[dict-item]  # what is refused
        config_map(SPACE, metadata={"labels": {"app": "a b"}}),
        deployment(SPACE, image=""),
        deployment(SPACE, volumeMounts=[{"name": "absent", "mountPath": "/a"}]),
    ],
    ids=["name", "data", "label", "image", "volume"],
)
async def test_what_cannot_be_is_refused_and_not_kept(sandbox: Sandbox, wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused) as raised:
        await sandbox.apply(wrong, manager=MANAGER)

    assert raised.value.reason == "invalid"
    assert await sandbox.get(key_of(wrong)) is None


async def test_old_events_go_when_there_are_many(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stellwerk.release.clusters.sandbox.world.MOST_EVENTS", 5)
    await sandbox.apply(deployment(SPACE, replicas=6), manager=MANAGER)
    await until_health(sandbox, deployment(SPACE), lambda one: one.status == "healthy")

    await until_listed(sandbox, Kind("Event"), SPACE, lambda one: one["reason"] == "Started")

    assert len(await sandbox.list(Kind("Event"))) <= 5


def test_a_table_finds_what_belongs_to_an_object_until_it_is_gone() -> None:
    table = Table()
    owner = config_map(SPACE, "owner", metadata={"uid": "u"})
    child = config_map(SPACE, "child", metadata={"uid": "c", "ownerReferences": [{"uid": "u"}]})
    table.put(key_of(child), child)

    assert table.made_by(owner) == [child]
    table.pop(key_of(child))
    assert table.made_by(owner) == []


def widget(**spec: int) -> Body:
    return {
        "apiVersion": "shop.example/v1",
        "kind": "Widget",
        "metadata": {"name": "one", "namespace": SPACE},
        "spec": spec,
    }


def stateful_set(replicas: int) -> Body:
    container = {"name": "main", "image": "db:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": SPACE},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [claim],
        },
    }
