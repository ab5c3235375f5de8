"""Parameters whose truth is a custom resource, in every kind of cluster."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.journal.service import Journal
from stellwerk.release.application.schema import BUILT_IN
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import Refused
from stellwerk.release.objects import Body, Key
from stellwerk.release.parameters.cluster_store import ClusterStore
from stellwerk.release.parameters.definition import KIND, Resource
from stellwerk.release.parameters.model import Action, Note, StaleParameters
from stellwerk.release.parameters.service import Parameters
from stellwerk.release.parameters.store import History
from stellwerk.settings import DatabaseSettings, JournalSettings
from stellwerk.trust.principal import LOCAL
from support.application import application, config
from support.clock import FakeClock

SCALED = {"global": {"replicas": 1, "own": {"kept": True}}, "services": {"web": {"replicas": 5}}}


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[Database]:
    """A database for the history; which engine makes no difference here."""
    opened = await open_database("sqlite", data_dir=tmp_path / "data", settings=DatabaseSettings())
    yield opened
    await opened.close()


class Bench:
    """Parameters over a definition of their own, in a namespace of the test's own."""

    def __init__(self, cluster: Cluster, namespace: str, database: Database, folder: Path) -> None:
        self.cluster = cluster
        self.resource = Resource(group=f"t{uuid.uuid4().hex[:8]}.stellwerk.test")
        self.namespace = namespace
        app = application(folder, {"web/a.yaml": config("a")})
        clock = FakeClock()
        history = History("shop", database, Journal(database, JournalSettings(), clock), clock)
        self.store = ClusterStore(
            cluster, history, namespace=namespace, manager="stellwerk-shop", resource=self.resource
        )
        self.parameters = Parameters(lambda: app, self.store, history)

    def key(self, instance: str) -> Key:
        return Key(self.namespace, KIND, instance, self.resource.group)

    async def body(self, instance: str = "default") -> Body:
        found = await self.cluster.get(self.key(instance))
        assert found is not None
        return found

    @property
    def definition(self) -> Key:
        name = f"{self.resource.plural}.{self.resource.group}"
        return Key("", "CustomResourceDefinition", name, "apiextensions.k8s.io")


@pytest.fixture
async def bench(cluster: Cluster, namespace: str, embedded: Database, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench whose definition goes in the end."""
    bench = Bench(cluster, namespace, embedded, tmp_path / "manifests")
    yield bench
    await cluster.delete(bench.definition)


async def test_without_the_definition_the_defaults_hold(bench: Bench) -> None:
    assert not (await bench.parameters.get()).stored
    assert await bench.parameters.instances() == ["default"]


async def test_resource_holds_what_was_stored_and_nothing_is_taken_away(bench: Bench) -> None:
    await bench.store.install(BUILT_IN)
    written = await bench.parameters.replace("default", SCALED, principal=LOCAL, why="load")
    assert (await bench.body())["spec"] == SCALED
    assert await bench.parameters.get() == written
    again = await bench.parameters.replace("default", {"global": {"namespace": "x"}}, principal=LOCAL)
    assert (await bench.body())["spec"] == {"global": {"namespace": "x"}}
    assert again.etag != written.etag
    with pytest.raises(StaleParameters):
        await bench.parameters.patch("default", {}, principal=LOCAL, if_match=written.etag)
    restored = await bench.parameters.restore("default", 1, principal=LOCAL)
    assert (restored.spec, (await bench.body())["spec"]) == (SCALED, SCALED)


async def test_change_by_others_is_found_and_recorded(bench: Bench) -> None:
    await bench.store.install(BUILT_IN)
    written = await bench.parameters.replace("default", SCALED, principal=LOCAL)
    patch = {"spec": {"services": {"web": {"replicas": 9}}}}
    await bench.cluster.patch(bench.key("default"), patch, manager="somebody")
    with pytest.raises(StaleParameters):
        await bench.parameters.replace("default", SCALED, principal=LOCAL, if_match=written.etag)
    found = await bench.parameters.get()
    assert found.spec["services"] == {"web": {"replicas": 9}}
    assert [(one.version, one.action, one.by) for one in await bench.parameters.history()] == [
        (2, "found", "cluster"),
        (1, "replaced", "local"),
    ]


async def test_change_between_reading_and_writing_is_never_overwritten(bench: Bench) -> None:
    await bench.store.install(BUILT_IN)
    await bench.parameters.replace("default", SCALED, principal=LOCAL)
    stale = await bench.body()
    await bench.cluster.patch(bench.key("default"), {"spec": {"global": {"replicas": 7}}}, manager="somebody")
    with pytest.raises(StaleParameters):
        await bench.store._put("default", {}, stale)
    assert (await bench.body())["spec"]["global"]["replicas"] == 7


async def test_instances_are_resources_and_are_removed_as_such(bench: Bench) -> None:
    await bench.store.install(BUILT_IN)
    await bench.parameters.replace("default", SCALED, principal=LOCAL)
    await bench.parameters.create("staging", principal=LOCAL)
    assert (await bench.body("staging"))["spec"] == SCALED
    assert await bench.parameters.instances() == ["default", "staging"]
    await bench.parameters.remove("staging", principal=LOCAL)
    assert await bench.cluster.get(bench.key("staging")) is None
    assert [one.action for one in await bench.parameters.history("staging")] == ["removed", "copied"]


async def test_installing_again_changes_nothing(bench: Bench) -> None:
    await bench.store.install(BUILT_IN)
    name = Key(
        "",
        "CustomResourceDefinition",
        f"{bench.resource.plural}.{bench.resource.group}",
        "apiextensions.k8s.io",
    )
    before = await bench.cluster.get(name)
    await bench.store.install(BUILT_IN)
    after = await bench.cluster.get(name)
    assert before is not None and after is not None
    assert before["metadata"]["generation"] == after["metadata"]["generation"]


async def test_what_the_cluster_refuses_leaves_nothing(bench: Bench) -> None:
    await bench.store.install({"properties": {"region": {"type": "string", "pattern": "^eu"}}})
    note = Note(Action.REPLACED, "local")
    with pytest.raises(Refused, match="region"):
        await bench.store.write("staging", {"region": "us"}, before=None, note=note)
    assert await bench.cluster.get(bench.key("staging")) is None
    assert await bench.parameters.history("staging") == []
