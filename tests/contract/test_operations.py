"""Operations on both engines, over the simulated cluster."""

import json
from collections.abc import AsyncIterator

import pytest

from stellwerk.database.database import Database
from stellwerk.journal.event import EventFilter
from stellwerk.release.objects import Key
from stellwerk.release.operations.record import (
    Busy,
    ObjectStatus,
    Operation,
    OperationKind,
    OperationState,
    Options,
    Prepared,
    Request,
    UnknownRevision,
)
from stellwerk.release.ownership import HOOK
from support.release import Yard, config, deployment
from support.worlds import US, body, manifest

UP, DOWN, ROLLBACK = OperationKind.UP, OperationKind.DOWN, OperationKind.ROLLBACK


@pytest.fixture
async def yard(database: Database) -> AsyncIterator[Yard]:
    """An application with nothing deployed."""
    yard = Yard(database)
    await yard.start()
    yield yard
    await yard.stop()


def outcome(operation: Operation) -> dict[str, tuple[str, str]]:
    return {f"{one.key.kind}/{one.key.name}": (one.action, one.status.value) for one in operation.objects}


async def test_what_is_described_is_applied_and_healthy_and_leaves_a_release(yard: Yard) -> None:
    done = await yard.run(UP, [config("one", a="1"), deployment("front", replicas=2)])
    assert done.state is OperationState.SUCCEEDED, done.failure
    assert outcome(done) == {
        "ConfigMap/one": ("create", "healthy"),
        "Deployment/front": ("create", "healthy"),
    }
    assert done.release == 1
    await yard.pods_of("front", 2)
    kinds = [event.kind for event in (await yard.journal.page(EventFilter(kinds=("deploy.*",)))).events]
    assert kinds[:2] == ["deploy.operation.requested", "deploy.operation.started"]
    assert kinds[-1] == "deploy.operation.finished"
    assert kinds.count("deploy.object.applied") == kinds.count("deploy.object.healthy") == 2


async def test_the_same_again_writes_nothing(yard: Yard) -> None:
    wanted = [config(f"c{number}", a="1") for number in range(12)] + [deployment("front")]
    await yard.run(UP, wanted)
    keys = [one.key for one in wanted] + [Key("shop", "ConfigMap", "stellwerk-inventory-shop-default")]
    before = [await yard.cluster.get(key) for key in keys]
    again = await yard.run(UP, wanted)
    assert {action for action, _ in outcome(again).values()} == {"unchanged"}
    assert [await yard.cluster.get(key) for key in keys] == before


async def test_a_subset_leaves_every_other_object_alone_and_carries_it_over(yard: Yard) -> None:
    both = [config("one"), config("two", "api")]
    await yard.run(UP, both, services=("web", "api"))
    other = await yard.cluster.get(both[1].key)
    done = await yard.run(UP, [config("other", a="2")])
    assert outcome(done) == {"ConfigMap/other": ("create", "healthy"), "ConfigMap/one": ("delete", "deleted")}
    assert await yard.cluster.get(both[1].key) == other
    newest = (await yard.operations.releases(US))[0]
    assert set(newest.contents) == {"web", "api"}


async def test_what_is_not_ours_refuses_the_whole_operation_and_nothing_is_changed(yard: Yard) -> None:
    await yard.put(body(name="theirs", data={"a": "1"}))
    done = await yard.run(UP, [config("mine"), config("theirs", a="2")])
    assert done.state is OperationState.FAILED
    assert done.failure is not None
    assert done.failure.resource == Key("shop", "ConfigMap", "theirs")
    assert await yard.names() == {"ConfigMap/theirs"}
    assert await yard.operations.releases(US) == []
    forced = await yard.run(UP, [config("mine"), config("theirs", a="2")], force=True)
    assert forced.state is OperationState.SUCCEEDED


async def test_a_removal_takes_only_the_services_named_and_keeps_volumes(yard: Yard) -> None:
    await yard.put(body(name="foreign"))
    claim = manifest(body("PersistentVolumeClaim", "data", spec={}))
    await yard.run(UP, [config("one"), claim, config("two", "api")], services=("web", "api"))
    done = await yard.run(DOWN)
    assert outcome(done) == {
        "ConfigMap/one": ("delete", "deleted"),
        "PersistentVolumeClaim/data": ("keep", "kept"),
    }
    assert await yard.names() == {"ConfigMap/foreign", "ConfigMap/two", "PersistentVolumeClaim/data"}
    await yard.run(DOWN, services=("web", "api"), volumes=True)
    assert await yard.names() == {"ConfigMap/foreign"}


async def test_a_certain_reason_ends_the_operation_at_once_and_names_the_resource(yard: Yard) -> None:
    done = await yard.run(UP, [deployment("front", fail="image-pull"), config("one")])
    assert done.state is OperationState.FAILED
    assert done.failure is not None
    assert (done.failure.resource, done.failure.error) == (
        Key("shop", "Deployment", "front", "apps"),
        "ImagePullBackOff",
    )
    assert done.failure.certain
    assert [one.result for one in await yard.operations.releases(US)] == [OperationState.FAILED]


async def test_a_rollback_restores_objects_and_parameters(yard: Yard) -> None:
    await yard.run(UP, [config("one", a="1"), config("gone")], parameters={"global": {"n": 1}})
    await yard.run(UP, [config("one", a="2"), config("new")], parameters={"global": {"n": 2}})
    done = await yard.run(ROLLBACK, services=())
    assert (done.state, done.revision) == (OperationState.SUCCEEDED, 1)
    assert await yard.names() == {"ConfigMap/one", "ConfigMap/gone"}
    one = await yard.cluster.get(Key("shop", "ConfigMap", "one"))
    assert one is not None
    assert one["data"] == {"a": "1"}
    assert yard.restored.documents == [{"global": {"n": 1}}]
    assert [release.revision for release in await yard.operations.releases(US)] == [3, 2, 1]


async def test_a_rollback_to_what_is_not_kept_is_refused(yard: Yard) -> None:
    with pytest.raises(UnknownRevision):
        await yard.begin(ROLLBACK, services=())
    await yard.run(UP, [config("one")])
    with pytest.raises(UnknownRevision):
        await yard.begin(ROLLBACK, services=(), revision=7)


async def test_a_failure_that_is_certain_is_rolled_back_where_asked_for(yard: Yard) -> None:
    await yard.run(UP, [deployment("front", tag="1")])
    failed = await yard.run(UP, [deployment("front", tag="2", fail="crash")], auto_rollback=True)
    assert failed.failure is not None
    assert failed.failure.error == "CrashLoopBackOff"
    (undoing,) = [one for one in await yard.operations.list(US) if one.kind is ROLLBACK]
    done = await yard.operations.wait(undoing.id, 20.0)
    assert done.state is OperationState.SUCCEEDED, done.failure
    front = await yard.cluster.get(Key("shop", "Deployment", "front", "apps"))
    assert front is not None
    assert front["spec"]["template"]["spec"]["containers"][0]["image"] == "app:1"


async def test_a_second_operation_waits_or_is_refused_with_the_id_of_the_first(yard: Yard) -> None:
    first = await yard.begin(UP, [deployment("front", fail="probe")])
    request = Request(UP, US, ("api",), "tester", Options())
    with pytest.raises(Busy) as busy:
        await yard.operations.begin(request, Prepared((), namespace="shop"), on_busy="refuse")
    assert busy.value.operation == first.id
    second = await yard.begin(UP, [config("two", "api")], services=("api",))
    assert (await yard.operations.get(second.id)).state is OperationState.QUEUED
    await yard.operations.cancel(first.id, "tester")
    assert (await yard.operations.wait(first.id, 20.0)).state is OperationState.CANCELLED
    assert (await yard.operations.wait(second.id, 20.0)).state is OperationState.SUCCEEDED


async def test_what_was_cut_off_goes_on_from_its_record_in_another_process(database: Database) -> None:
    yard = Yard(database)
    await yard.start()
    started = await yard.begin(UP, [config("one"), deployment("front", fail="probe")])
    async for operation in yard.operations.follow(started.id):
        if operation.state is OperationState.WAITING:
            break
    await yard.operations.stop()
    assert (await yard.operations.get(started.id)).state is OperationState.WAITING
    front = await yard.cluster.get(Key("shop", "Deployment", "front", "apps"))
    assert front is not None
    await yard.cluster.patch(
        Key("shop", "Deployment", "front", "apps"), {"metadata": {"annotations": {"seen": "1"}}}, manager="x"
    )
    later = Yard(database, yard.cluster)
    await later.operations.start_loop()
    async for operation in later.operations.follow(started.id):
        if operation.attempt == 2 and operation.state is OperationState.WAITING:
            break
    assert outcome(operation)["ConfigMap/one"] == ("create", "healthy")
    await later.operations.cancel(started.id, "tester")
    assert (await later.operations.wait(started.id, 20.0)).state is OperationState.CANCELLED
    await later.stop()


async def test_what_was_cut_off_five_times_is_reported_interrupted_and_bars_nothing(
    database: Database,
) -> None:
    yard = Yard(database)
    await yard.start()
    started = await yard.begin(UP, [config("one"), deployment("front", fail="probe")])
    process = yard
    for attempt in range(1, 6):
        async for operation in process.operations.follow(started.id):
            if operation.attempt == attempt and operation.state is OperationState.WAITING:
                break
        await process.operations.stop()
        process = Yard(database, yard.cluster)
        await process.operations.start_loop()
    ended = await process.operations.wait(started.id, 20.0)
    assert ended.state is OperationState.INTERRUPTED
    assert ended.failure is not None
    assert "it was cut off 5 times" in ended.failure.message
    # What it had done is owned, and the next one goes on from there.
    removed = await process.run(DOWN)
    assert outcome(removed)["ConfigMap/one"] == ("delete", "deleted")
    events = await process.journal.page(EventFilter(kinds=("deploy.operation.finished",)))
    assert [json.loads(event.data)["type"] for event in events.events] == ["error", "success"]
    await process.stop()
    await yard.stop()


async def test_the_inventory_of_the_cluster_holds_where_ours_was_lost(yard: Yard) -> None:
    await yard.run(UP, [config("one"), config("two")])

    def forget():  # type: ignore[no-untyped-def]
        from stellwerk.database.unit import Sql

        yield Sql("DELETE FROM release_inventories")

    await yard.tools.database.write(forget)
    done = await yard.run(UP, [config("one")])
    assert outcome(done)["ConfigMap/two"] == ("delete", "deleted")


async def test_hooks_run_before_their_service_each_time(yard: Yard) -> None:
    spec = {
        "template": {
            "metadata": {"labels": {"app": "job"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "job:1"}]},
        }
    }
    job = manifest(body("Job", "migrate", api_version="batch/v1", annotations={HOOK: "pre-up"}, spec=spec))
    first = await yard.run(UP, [job, config("one")])
    assert outcome(first)["Job/migrate"] == ("create", "healthy"), first.failure
    before = await yard.cluster.get(job.key)
    again = await yard.run(UP, [job, config("one")])
    assert outcome(again) == {"Job/migrate": ("update", "healthy"), "ConfigMap/one": ("unchanged", "healthy")}
    after = await yard.cluster.get(job.key)
    assert before is not None
    assert after is not None
    assert before["metadata"]["uid"] != after["metadata"]["uid"]


async def test_a_preview_shows_fields_and_changes_nothing(yard: Yard) -> None:
    await yard.run(UP, [config("one", a="1")])
    before = await yard.cluster.get(Key("shop", "ConfigMap", "one"))
    request = Request(UP, US, ("web",), "tester")
    wanted = (config("one", a="2"), config("new"))
    found = await yard.operations.preview(request, Prepared(wanted, namespace="shop"))
    assert {
        step.key.name: [(one.path, one.old, one.new) for one in step.changes] for step in found.steps
    } == {
        "one": [("data.a", "1", "2")],
        "new": [],
    }
    assert await yard.cluster.get(Key("shop", "ConfigMap", "one")) == before
    assert await yard.names() == {"ConfigMap/one"}
    assert len(await yard.operations.list(US)) == 1


async def test_secrets_of_a_release_are_not_readable_in_the_database(yard: Yard) -> None:
    await yard.run(UP, [manifest(body("Secret", "s", stringData={"password": "hunter2-hunter2"}))])

    def everything():  # type: ignore[no-untyped-def]
        from stellwerk.database.unit import Sql

        found = []
        for table in (
            "release_operations",
            "release_contents",
            "release_revisions",
            "release_inventories",
            "events",
        ):
            found += yield Sql(f"SELECT * FROM {table}")
        return found

    rows = await yard.tools.database.read(everything)
    assert rows
    assert "hunter2" not in repr(rows)
    manifests, _ = await yard.operations.contents(US, 1)
    assert manifests[0].body["stringData"] == {"password": "hunter2-hunter2"}
    assert all(one.status is ObjectStatus.HEALTHY for one in (await yard.operations.list(US))[0].objects)
