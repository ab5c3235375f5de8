"""What the store of parameters promises on both engines."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.release.application.application import Application
from stellwerk.release.parameters import store as stores
from stellwerk.release.parameters.checking import LARGEST
from stellwerk.release.parameters.model import (
    InstanceExists,
    InvalidInstance,
    InvalidParameters,
    StaleParameters,
    UnknownInstance,
    UnknownVersion,
)
from stellwerk.release.parameters.service import Parameters
from stellwerk.release.parameters.store import DatabaseStore, History
from stellwerk.settings import JournalSettings
from stellwerk.trust.principal import LOCAL
from support.application import application, config
from support.clock import FakeClock

FILES = {
    "redis-master/a.yaml": config("a"),
    "redis-slave/a.yaml": config("b"),
    "stellwerk.yaml": "groups: {redis: [redis-master, redis-slave]}",
    "parameters.yaml": "services: {redis: {imageTag: '7'}}",
}
SCALED = {"global": {"namespace": "default", "replicas": 1}, "services": {"redis": {"replicas": 5}}}
BUILT_IN = {"namespace": "default", "namePrefix": "", "replicas": 1}


class Bench:
    """Parameters of one application, over a database."""

    def __init__(self, database: Database, app: Application, name: str = "shop") -> None:
        self.clock = FakeClock()
        self.journal = Journal(database, JournalSettings(), self.clock)
        self.application = app
        history = History(name, database, self.journal, self.clock)
        self.parameters = Parameters(lambda: self.application, DatabaseStore(history), history)

    async def events(self) -> list[tuple[str, str | None, str | None]]:
        return [(one.kind, one.application, one.principal) for one in (await self.journal.page()).events]


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, application(tmp_path / "manifests", FILES))


async def test_where_nothing_is_stored_the_defaults_hold(bench: Bench) -> None:
    found = await bench.parameters.get()
    assert found.spec == {"global": BUILT_IN, "services": {"redis": {"imageTag": "7"}}}
    assert (found.version, found.stored, found.changed_by) == (0, False, None)
    assert await bench.parameters.history() == []
    assert await bench.parameters.instances() == ["default"]


async def test_what_is_stored_replaces_the_whole_document(bench: Bench) -> None:
    parameters = bench.parameters
    await parameters.replace("default", {"global": {"namePrefix": "gb-"}}, principal=LOCAL)
    written = await parameters.replace("default", SCALED, principal=LOCAL, why="more load")
    assert written == await parameters.get()
    assert (written.spec, written.version) == (SCALED, 2)
    assert parameters.merged(written.spec, "redis-slave") == {**BUILT_IN, "imageTag": "7", "replicas": 5}
    assert [(one.version, one.action, one.by, one.why) for one in await parameters.history()] == [
        (2, "replaced", "local", "more load"),
        (1, "replaced", "local", ""),
    ]
    assert await bench.events() == [("deploy.parameters.changed", "shop", "local")] * 2


async def test_events_do_not_show_values(bench: Bench) -> None:
    await bench.parameters.replace("default", {"global": {"password": "hush"}}, principal=LOCAL)
    assert "hush" not in repr((await bench.journal.page()).events)


async def test_patch_merges_and_null_takes_away(bench: Bench) -> None:
    await bench.parameters.replace("default", SCALED, principal=LOCAL)
    changes: dict[str, Any] = {"global": {"replicas": None}, "services": {"redis": {"imageTag": "8"}}}
    patched = await bench.parameters.patch("default", changes, principal=LOCAL)
    assert patched.spec == {
        "global": {"namespace": "default"},
        "services": {"redis": {"replicas": 5, "imageTag": "8"}},
    }
    assert (await bench.parameters.history())[0].action == "merged"


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"services": {"redis": {"replicas": "5"}}}, ["services.redis.replicas"]),
        ({"global": {"replicas": -1, "namespace": "Not A Name"}}, ["global.namespace", "global.replicas"]),
        ({"Global": {}}, ["Global"]),
        ({"global": []}, ["global"]),
        ({"services": {"redis": 5}}, ["services.redis"]),
        ([], ["the document"]),
        ({"global": {"x": "y" * LARGEST}}, ["the document"]),
    ],
)
async def test_refused_document_names_each_path_and_changes_nothing(
    bench: Bench, spec: Any, paths: list[str]
) -> None:
    with pytest.raises(InvalidParameters) as refused:
        await bench.parameters.replace("default", spec, principal=LOCAL)
    assert sorted(one.path for one in refused.value.violations) == paths
    assert [one.path for one in bench.parameters.validate(spec)] == [
        one.path for one in refused.value.violations
    ]
    assert not (await bench.parameters.get()).stored
    assert await bench.events() == []


async def test_misspelt_names_come_with_the_right_ones(bench: Bench) -> None:
    (found,) = bench.parameters.validate({"Global": {}})
    assert "did you mean global?" in found.message
    (hint,) = bench.parameters.hints({"services": {"redis-mastre": {}, "redis": {}, "redis-slave": {}}})
    assert (hint.path, "did you mean redis-master?" in hint.message) == ("services.redis-mastre", True)


async def test_own_schema_may_require_what_the_defaults_give(database: Database, tmp_path: Path) -> None:
    schema = '{"required": ["services", "region"], "properties": {"region": {"enum": ["eu", "us"]}}}'
    bench = Bench(database, application(tmp_path / "m", {**FILES, "parameters.schema.json": schema}))
    assert [one.path for one in bench.parameters.validate({})] == ["the document"]
    with pytest.raises(InvalidParameters, match="region"):
        await bench.parameters.replace("default", {"region": "mars"}, principal=LOCAL)
    assert (await bench.parameters.replace("default", {"region": "eu"}, principal=LOCAL)).version == 1
    assert bench.parameters.schema()["required"] == ["services", "region"]


async def test_writer_with_an_old_etag_is_refused(bench: Bench) -> None:
    parameters = bench.parameters
    before = await parameters.get()
    first = await parameters.replace("default", SCALED, principal=LOCAL, if_match=before.etag)
    with pytest.raises(StaleParameters) as refused:
        await parameters.patch("default", {"global": {"x": 1}}, principal=LOCAL, if_match=before.etag)
    assert refused.value.etag == first.etag
    assert await parameters.get() == first
    await parameters.patch("default", {"global": {"x": 1}}, principal=LOCAL, if_match=first.etag)
    await parameters.replace("default", SCALED, principal=LOCAL, if_match="*")
    with pytest.raises(StaleParameters):
        await parameters.replace("other", SCALED, principal=LOCAL, if_match="*")


async def test_concurrent_patches_are_all_kept(bench: Bench) -> None:
    changes = [{"services": {f"s{n}": {"replicas": n}}} for n in range(4)]
    await asyncio.gather(*(bench.parameters.patch("default", one, principal=LOCAL) for one in changes))
    found = await bench.parameters.get()
    assert found.spec["services"] == {f"s{n}": {"replicas": n} for n in range(4)}
    assert [one.version for one in await bench.parameters.history()] == [4, 3, 2, 1]


async def test_of_two_writers_with_one_etag_one_is_refused(bench: Bench) -> None:
    writes = [
        bench.parameters.replace("default", {"global": {"replicas": n}}, principal=LOCAL, if_match="0")
        for n in range(2)
    ]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert sorted(type(one).__name__ for one in outcomes) == ["Document", "StaleParameters"]
    assert (await bench.parameters.get()).version == 1


async def test_restored_version_is_a_new_one(bench: Bench) -> None:
    parameters = bench.parameters
    await parameters.replace("default", SCALED, principal=LOCAL)
    await parameters.replace("default", {}, principal=LOCAL)
    restored = await parameters.restore("default", 1, principal=LOCAL, why="too few")
    assert (restored.spec, restored.version) == (SCALED, 3)
    newest = (await parameters.history())[0]
    assert (newest.action, newest.restored, newest.why) == ("restored", 1, "too few")
    with pytest.raises(UnknownVersion):
        await parameters.restore("default", 9, principal=LOCAL)
    assert (await parameters.version("default", 2)).spec == {}


async def test_instances_are_copies_with_names_of_their_own(bench: Bench) -> None:
    parameters = bench.parameters
    await parameters.replace("default", SCALED, principal=LOCAL)
    first = await parameters.create(principal=LOCAL)
    second = await parameters.create(principal=LOCAL)
    assert [first.instance, second.instance, first.spec] == ["config-1", "config-2", SCALED]
    await parameters.create("staging", principal=LOCAL)
    with pytest.raises(InstanceExists):
        await parameters.create("staging", principal=LOCAL)
    with pytest.raises(InvalidInstance):
        await parameters.create("Not a name", principal=LOCAL)
    await parameters.patch("staging", {"global": {"replicas": 2}}, principal=LOCAL)
    assert await parameters.instances() == ["config-1", "config-2", "default", "staging"]
    assert (await parameters.get()).spec == SCALED


async def test_removed_instance_keeps_its_history_and_may_come_back(bench: Bench) -> None:
    parameters = bench.parameters
    made = await parameters.create("staging", principal=LOCAL)
    with pytest.raises(StaleParameters):
        await parameters.remove("staging", principal=LOCAL, if_match="9")
    await parameters.remove("staging", principal=LOCAL, if_match=made.etag)
    assert await parameters.instances() == ["default"]
    assert not (await parameters.get("staging")).stored
    with pytest.raises(UnknownInstance):
        await parameters.remove("staging", principal=LOCAL)
    with pytest.raises(UnknownVersion):
        await parameters.restore("staging", 2, principal=LOCAL)
    again = await parameters.create("staging", principal=LOCAL)
    assert again.version == 3
    assert [one.action for one in await parameters.history("staging")] == ["copied", "removed", "copied"]


async def test_applications_do_not_see_each_other(database: Database, tmp_path: Path) -> None:
    app = application(tmp_path / "m", FILES)
    shop, other = Bench(database, app), Bench(database, app, "other")
    await shop.parameters.replace("staging", SCALED, principal=LOCAL)
    assert await other.parameters.instances() == ["default"]
    assert not (await other.parameters.get("staging")).stored


async def test_history_has_an_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "KEPT", 3)
    for n in range(6):
        await bench.parameters.replace("default", {"global": {"replicas": n}}, principal=LOCAL)
    assert [one.version for one in await bench.parameters.history()] == [6, 5, 4]
    assert (await bench.parameters.get()).spec == {"global": {"replicas": 5}}
