"""What the fleet promises of joining, reporting and leaving, on every engine."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stellwerk.database.database import Database
from stellwerk.database.unit import Row, Sql, Unit
from stellwerk.fleet.errors import InvalidId, OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import AgentQuery, Condition, Presence
from stellwerk.fleet.service import Fleet
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import FleetSettings, JournalSettings
from support.clock import FakeClock
from support.fleet import ADMIN, ALICE, BOB, registration

SECOND = 1_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def journal(database: Database, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = Journal(database, JournalSettings(), clock)
    yield opened
    await opened.stop()


@pytest.fixture
async def fleet(database: Database, journal: Journal, clock: FakeClock) -> AsyncIterator[Fleet]:
    # the loops sleep: batches are written when a test says so
    opened = Fleet(database, journal, FleetSettings(flush_s=60, sweep_s=60), clock)
    await opened.start()
    yield opened
    await opened.stop()


async def events(journal: Journal) -> list[tuple[str, str | None, dict[str, Any]]]:
    page = await journal.page(EventFilter(kinds=("agent.*",)))
    return [(event.kind, event.group, json.loads(event.data)) for event in page.events]


async def kinds(journal: Journal) -> list[str]:
    return [kind for kind, _, _ in await events(journal)]


async def select(database: Database, text: str, *parameters: str | int) -> list[Row]:
    def unit() -> Unit[list[Row]]:
        return (yield Sql(text, parameters))

    return await database.read(unit)


async def reopened(database: Database, journal: Journal, clock: FakeClock) -> Fleet:
    """A fleet that knows what the database knows, as after a restart."""
    fleet = Fleet(database, journal, FleetSettings(flush_s=60, sweep_s=60), clock)
    await fleet.start()
    return fleet


async def test_a_registered_agent_is_active_online_and_found(fleet: Fleet, clock: FakeClock) -> None:
    sent = registration(
        capabilities=("x", "y"),
        services=("s",),
        tags=("t",),
        labels={"zone": "a"},
        endpoints={"http": "http://localhost:9002"},
        metadata={"weight": 2, "deep": {"list": [1, None, "ä"]}},
        version="2.1+b",
    )
    registered = await fleet.register(ALICE, sent)
    view = fleet.get("a1")
    assert view is registered.view
    assert registered.created
    assert (view.condition, view.presence, view.health_score) == (Condition.ACTIVE, Presence.ONLINE, 1.0)
    assert (view.owner, view.registered_at, view.seen_at) == ("key:alice", clock.now_us(), clock.now_us())
    for query in (
        AgentQuery(capabilities=("y",)),
        AgentQuery(services=("s",), tags=("t",), labels={"zone": "a"}, kind="worker"),
    ):
        assert fleet.find(query) == [view]


async def test_everything_registered_is_there_after_a_restart(
    fleet: Fleet, database: Database, journal: Journal, clock: FakeClock
) -> None:
    for instance in ("i1", "i2"):
        sent = registration(instance=instance, capabilities=(instance,), metadata={"n": [1, {"ä": 2.5}]})
        await fleet.register(ALICE, sent)
        clock.advance(1)
    await fleet.set_status(ALICE, "a1", Condition.BUSY, {"cpu_usage": 0.7}, "i1")
    before = fleet.get("a1")
    after_restart = await reopened(database, journal, clock)
    after = after_restart.get("a1")
    await after_restart.stop()
    assert before is not None and after is not None
    assert after.instances == before.instances
    assert (after.owner, after.kind, after.capabilities) == ("key:alice", "worker", ("i2", "i1"))


async def test_registering_again_updates_and_keeps_registration_time_weight_and_history(
    fleet: Fleet, database: Database, clock: FakeClock
) -> None:
    first = await fleet.register(ALICE, registration(capabilities=("x",)))
    fleet.record_outcome("a1", "default", True, 40.0)
    fleet.record_outcome("a1", "default", False, 20.0)
    await fleet.flush()

    def weigh() -> Unit[None]:
        yield Sql("UPDATE fleet_versions SET weight = 30 WHERE group_id = 'a1'")

    await database.write(weigh)
    clock.advance(10)
    again = await fleet.register(ALICE, registration(capabilities=("y",), kind="gateway"))
    one = again.view.instances[0]
    assert not again.created
    assert again.view.registered_at == first.view.registered_at == one.registered_at
    assert (one.succeeded, one.failed, one.response_ms) == (1, 1, 36.0)
    assert (again.view.kind, again.view.capabilities, again.view.seen_at) == (
        "gateway",
        ("y",),
        clock.now_us(),
    )
    assert fleet.find(AgentQuery(capabilities=("x",))) == []
    assert [tuple(row) for row in await select(database, "SELECT version, weight FROM fleet_versions")] == [
        ("1.0.0", 30)
    ]


async def test_the_same_registration_again_changes_and_says_nothing(fleet: Fleet, journal: Journal) -> None:
    sent = registration(capabilities=("x",), metadata={"a": 1})
    first = await fleet.register(ALICE, sent)
    again = await fleet.register(ALICE, sent)
    assert again.view == first.view
    assert await kinds(journal) == ["agent.registered"]


async def test_registering_again_makes_active_and_online_but_leaves_maintenance(fleet: Fleet) -> None:
    await fleet.register(ALICE, registration())
    await fleet.set_status(ALICE, "a1", Condition.ERROR)
    assert (await fleet.register(ALICE, registration())).view.condition is Condition.ACTIVE
    await fleet.set_status(ALICE, "a1", Condition.MAINTENANCE)
    assert (await fleet.register(ALICE, registration())).view.condition is Condition.MAINTENANCE


async def test_events_tell_old_and_new(fleet: Fleet, journal: Journal) -> None:
    await fleet.register(ALICE, registration(tags=("t",)))
    await fleet.register(ALICE, registration(metadata={"token": "secret"}))
    await fleet.set_status(ALICE, "a1", Condition.BUSY)
    await fleet.remove(ALICE, "a1")
    joined = {
        "kind": "worker",
        "joined_through": "coordinator",
        "version": "1.0.0",
        "capabilities": [],
        "services": [],
        "tags": ["t"],
        "labels": {},
    }
    assert await events(journal) == [
        ("agent.registered", "a1", {"instance": "default", "old": {}, "new": joined}),
        (
            "agent.updated",
            "a1",
            {
                "instance": "default",
                "old": {"tags": ["t"], "metadata": None},
                "new": {"tags": [], "metadata": None},
            },
        ),
        (
            "agent.status",
            "a1",
            {"instance": "default", "old": {"condition": "active"}, "new": {"condition": "busy"}},
        ),
        ("agent.removed", "a1", {"instance": "default", "old": {}, "new": {"instances_left": 0}}),
    ]


async def test_another_principal_can_change_nothing(
    fleet: Fleet, database: Database, journal: Journal
) -> None:
    await fleet.register(ALICE, registration(capabilities=("x",)))
    before = fleet.get("a1")
    rows = await select(database, "SELECT * FROM fleet_instances")
    for refused in (
        fleet.register(BOB, registration(capabilities=("stolen",))),
        fleet.heartbeat(BOB, "a1", load={"cpu_usage": 1.0}),
        fleet.set_status(BOB, "a1", Condition.ERROR),
        fleet.remove(BOB, "a1"),
        fleet.register(BOB, registration(instance="i2")),
    ):
        with pytest.raises(OwnedByAnother):
            await refused
    await fleet.flush()
    assert fleet.get("a1") is before
    assert await select(database, "SELECT * FROM fleet_instances") == rows
    assert await kinds(journal) == ["agent.registered"]


async def test_an_administrator_may_change_it_and_the_owner_stays(fleet: Fleet) -> None:
    await fleet.register(ALICE, registration())
    assert (await fleet.register(ADMIN, registration(tags=("t",)))).view.owner == "key:alice"
    await fleet.heartbeat(ADMIN, "a1")
    await fleet.set_status(ADMIN, "a1", Condition.MAINTENANCE)
    await fleet.remove(ADMIN, "a1")
    assert fleet.get("a1") is None


async def test_an_agent_of_another_interface_is_refused_even_to_its_owner(fleet: Fleet) -> None:
    await fleet.register(ALICE, registration())
    for principal in (ALICE, ADMIN):
        with pytest.raises(OwnedByAnother, match="joined through coordinator"):
            await fleet.register(principal, registration(joined_through="nodes"))


async def test_a_bad_registration_leaves_no_trace(fleet: Fleet, database: Database) -> None:
    with pytest.raises(InvalidId):
        await fleet.register(ALICE, registration("a/b"))
    assert fleet.counts().agents == 0
    assert await select(database, "SELECT * FROM fleet_groups") == []


async def test_concurrent_registrations_of_one_group_make_one_group(
    fleet: Fleet, database: Database, journal: Journal
) -> None:
    sent = [registration(instance=f"i{number % 4}", tags=(str(number),)) for number in range(24)]
    answers = await asyncio.gather(*(fleet.register(ALICE, one) for one in sent))
    assert [answer.created for answer in answers].count(True) == 1
    view = fleet.get("a1")
    assert view is not None and len(view.instances) == 4
    stored = await select(database, "SELECT instance_id, tags FROM fleet_instances ORDER BY instance_id")
    assert sorted((one.instance, json.dumps(one.tags)) for one in view.instances) == [
        tuple(row) for row in stored
    ]
    assert (await kinds(journal)).count("agent.registered") == 4


async def test_concurrent_registrations_by_two_principals_have_one_winner(fleet: Fleet) -> None:
    answers = await asyncio.gather(
        *(fleet.register(principal, registration()) for principal in (ALICE, BOB)), return_exceptions=True
    )
    assert sum(isinstance(answer, OwnedByAnother) for answer in answers) == 1
    view = fleet.get("a1")
    assert view is not None and view.owner in {"key:alice", "key:bob"}


async def test_removing_an_instance_leaves_the_others_and_the_last_takes_the_group(
    fleet: Fleet, database: Database, journal: Journal, clock: FakeClock
) -> None:
    await fleet.register(ALICE, registration(instance="i1", capabilities=("x",)))
    clock.advance(1)
    await fleet.register(ALICE, registration(instance="i2", capabilities=("y",)))
    with pytest.raises(UnknownAgent):
        await fleet.remove(ALICE, "a1", "i3")
    await fleet.remove(ALICE, "a1", "i2")
    view = fleet.get("a1")
    assert view is not None and view.capabilities == ("x",)
    await fleet.remove(ALICE, "a1", "i1")
    assert fleet.get("a1") is None
    assert fleet.find(AgentQuery()) == []
    for table in ("fleet_groups", "fleet_versions", "fleet_instances"):
        assert await select(database, f"SELECT * FROM {table}") == []
    assert (await kinds(journal))[2:] == ["agent.removed", "agent.removed"]
    with pytest.raises(UnknownAgent):
        await fleet.remove(ALICE, "a1")


async def test_a_removed_group_may_be_registered_by_another(fleet: Fleet) -> None:
    await fleet.register(ALICE, registration())
    await fleet.heartbeat(ALICE, "a1", load={"cpu_usage": 0.9})
    fleet.record_outcome("a1", "default", True, 10.0)
    await fleet.remove(ALICE, "a1")
    registered = await fleet.register(BOB, registration())
    await fleet.flush()
    view = fleet.get("a1")
    assert registered.created and view is not None
    assert (view.owner, view.load, view.instances[0].succeeded) == ("key:bob", {}, 0)


async def test_unknown_agents_are_refused(fleet: Fleet) -> None:
    await fleet.register(ALICE, registration(instance="i1"))
    for refused in (
        fleet.heartbeat(ALICE, "nobody"),
        fleet.heartbeat(ALICE, "a\x00b"),
        fleet.heartbeat(ALICE, "a1", "i2"),
        fleet.set_status(ALICE, "nobody", Condition.BUSY),
        fleet.remove(ALICE, "nobody"),
    ):
        with pytest.raises(UnknownAgent):
            await refused
    fleet.record_outcome("nobody", "default", True, 1.0)
    assert await fleet.get_fresh("nobody") is None


async def test_listeners_hear_of_committed_changes_and_not_of_mere_heartbeats(fleet: Fleet) -> None:
    heard: list[str] = []
    fleet.on_change(heard.append)
    await fleet.register(ALICE, registration())
    assert heard == ["a1"]
    await fleet.heartbeat(ALICE, "a1")
    await fleet.heartbeat(ALICE, "a1", load={"tasks": 3})
    assert heard == ["a1"]
    await fleet.heartbeat(ALICE, "a1", load={"cpu_usage": 0.9})
    await fleet.set_status(ALICE, "a1", Condition.BUSY)
    with pytest.raises(OwnedByAnother):
        await fleet.register(BOB, registration())
    await fleet.remove(ALICE, "a1")
    assert heard == ["a1"] * 4


async def test_revision_grows_with_every_visible_change_and_not_with_outcomes(fleet: Fleet) -> None:
    revisions = [(await fleet.register(ALICE, registration())).view.revision]
    revisions.append((await fleet.heartbeat(ALICE, "a1")).view.revision)
    revisions.append((await fleet.set_status(ALICE, "a1", Condition.BUSY)).view.revision)
    revisions.append((await fleet.register(ALICE, registration())).view.revision)
    assert revisions == sorted(set(revisions))
    fleet.record_outcome("a1", "default", True, 5.0)
    await fleet.flush()
    view = fleet.get("a1")
    assert view is not None
    assert (view.revision, view.instances[0].succeeded) == (revisions[-1], 1)


async def test_find_orders_by_health_then_registration(fleet: Fleet, clock: FakeClock) -> None:
    for group in ("z", "m", "a"):
        await fleet.register(ALICE, registration(group))
        clock.advance(1)
    await fleet.heartbeat(ALICE, "z", load={"cpu_usage": 0.9})
    assert [view.group for view in fleet.find(AgentQuery())] == ["m", "a", "z"]
    assert [view.group for view in fleet.find(AgentQuery(min_health_score=0.8, limit=1))] == ["m"]


async def test_processes_that_never_come_back_make_room_for_the_next(
    fleet: Fleet, journal: Journal, clock: FakeClock
) -> None:
    passing: dict[str, Any] = {"metadata": {"ephemeral": True}}
    for instance, fields in (("p1", passing), ("p2", passing), ("named", {})):
        await fleet.register(ALICE, registration("anna", instance=instance, **fields))
    clock.advance(200)
    await fleet.heartbeat(ALICE, "anna", "p2")
    clock.advance(200)
    await fleet.sweep(clock.now_us())
    joined = await fleet.register(ALICE, registration("anna", instance="p3", **passing))
    # One is gone for good. Another was heard of, and one has a name to come back under.
    assert sorted(one.instance for one in joined.view.instances) == ["named", "p2", "p3"]
    view = await fleet.get_fresh("anna")
    assert view is not None
    assert sorted(one.instance for one in view.instances) == ["named", "p2", "p3"]
    assert [(kind, data.get("instance")) for kind, _, data in await events(journal)][-2:] == [
        ("agent.registered", "p3"),
        ("agent.removed", "p1"),
    ]
