"""What the fleet promises of heartbeats, silence and batches, on every engine."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Row, Sql, Unit, UnitMaker
from stellwerk.fleet import silence
from stellwerk.fleet.model import AgentView, Condition, Presence
from stellwerk.fleet.service import Fleet
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import FleetSettings, JournalSettings
from support.clock import FakeClock
from support.fleet import ALICE, registration

SECOND = 1_000_000
T = TypeVar("T")


class Watched:
    """The database of the test, counting writes; refuses them while `gone`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.engine = database.engine
        self.read = database.read
        self.notify = database.notify
        self.listen = database.listen
        self.writes = 0
        self.gone = False

    async def write(self, unit: Unit[T] | UnitMaker[T]) -> T:
        if self.gone:
            raise DatabaseUnavailable("gone")
        self.writes += 1
        return await self._database.write(unit)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def watched(database: Database) -> Watched:
    return Watched(database)


@pytest.fixture
async def journal(database: Database, clock: FakeClock) -> AsyncIterator[Journal]:
    opened = Journal(database, JournalSettings(), clock)
    yield opened
    await opened.stop()


async def started(watched: Watched, journal: Journal, clock: FakeClock, **settings: float) -> Fleet:
    fleet = Fleet(watched, journal, FleetSettings(**{"flush_s": 60, "sweep_s": 60, **settings}), clock)  # type: ignore[arg-type]
    await fleet.start()
    return fleet


@pytest.fixture
async def fleet(watched: Watched, journal: Journal, clock: FakeClock) -> AsyncIterator[Fleet]:
    opened = await started(watched, journal, clock)
    yield opened
    await opened.stop()


async def kinds(journal: Journal, *wanted: str) -> list[str]:
    page = await journal.page(EventFilter(kinds=wanted or ("agent.*",)))
    return [event.kind for event in page.events]


async def stored(database: Database | Watched, column: str, group: str = "a1") -> Row:
    def unit() -> Unit[list[Row]]:
        return (yield Sql(f"SELECT {column} FROM fleet_instances WHERE group_id = $1", (group,)))

    return (await database.read(unit))[0]


def presence(fleet: Fleet, group: str = "a1") -> tuple[Presence, float]:
    view: AgentView | None = fleet.get(group)
    assert view is not None
    return view.presence, view.health_score


async def test_heartbeats_are_written_in_one_batch(fleet: Fleet, watched: Watched, clock: FakeClock) -> None:
    for number in range(40):
        await fleet.register(ALICE, registration(f"g{number}"))
    written = watched.writes
    for _ in range(3):
        clock.advance(1)
        for number in range(40):
            taken = await fleet.heartbeat(ALICE, f"g{number}")
            assert taken.at_us == taken.view.seen_at == clock.now_us()
    assert watched.writes == written
    await fleet.flush()
    assert watched.writes == written + 1
    assert (await stored(watched, "seen_at", "g7"))[0] == clock.now_us()
    await fleet.flush()
    assert watched.writes == written + 1


async def test_heartbeats_are_written_within_a_second_by_themselves(
    watched: Watched, journal: Journal, clock: FakeClock
) -> None:
    assert FleetSettings().flush_s < 1
    fleet = await started(watched, journal, clock, flush_s=0.01)
    await fleet.register(ALICE, registration())
    clock.advance(1)
    await fleet.heartbeat(ALICE, "a1")
    async with asyncio.timeout(5):
        while (await stored(watched, "seen_at"))[0] != clock.now_us():  # noqa: ASYNC110 tables have no event
            await asyncio.sleep(0.005)
    await fleet.stop()


async def test_a_graceful_stop_loses_no_heartbeat(
    watched: Watched, journal: Journal, clock: FakeClock
) -> None:
    fleet = await started(watched, journal, clock)
    await fleet.register(ALICE, registration())
    clock.advance(5)
    await fleet.heartbeat(ALICE, "a1", load={"cpu_usage": 0.9})
    fleet.record_outcome("a1", "default", True, 12.0)
    await fleet.stop()
    await fleet.stop()
    seen_at, load, score, succeeded, response_ms = await stored(
        watched, "seen_at, load, health_score, succeeded, response_ms"
    )
    assert (seen_at, json.loads(load), score) == (clock.now_us(), {"cpu_usage": 0.9}, 0.7)
    assert (succeeded, response_ms) == (1, 12.0)


async def test_what_could_not_be_written_is_kept_and_written_later_once(
    fleet: Fleet, watched: Watched, clock: FakeClock
) -> None:
    await fleet.register(ALICE, registration())
    await fleet.heartbeat(ALICE, "a1", load={"cpu_usage": 0.2})
    fleet.record_outcome("a1", "default", True, 10.0)
    watched.gone = True
    with pytest.raises(DatabaseUnavailable):
        await fleet.flush()
    clock.advance(1)
    await fleet.heartbeat(ALICE, "a1")
    fleet.record_outcome("a1", "default", True, 10.0)
    watched.gone = False
    await fleet.flush()
    await fleet.flush()
    row = await stored(watched, "seen_at, load, succeeded")
    assert (row[0], json.loads(row[1]), row[2]) == (clock.now_us(), {"cpu_usage": 0.2}, 2)


async def test_a_change_of_condition_is_committed_before_the_answer(
    fleet: Fleet, watched: Watched, journal: Journal
) -> None:
    await fleet.register(ALICE, registration())
    taken = await fleet.set_status(ALICE, "a1", Condition.BUSY, {"cpu_usage": 0.7})
    assert (taken.view.condition, taken.view.health_score) == (Condition.BUSY, 0.8)
    condition, load, score = await stored(watched, "condition, load, health_score")
    assert (condition, json.loads(load), score) == ("busy", {"cpu_usage": 0.7}, 0.8)
    written = watched.writes
    await fleet.set_status(ALICE, "a1", Condition.BUSY)
    assert watched.writes == written
    assert await kinds(journal, "agent.status") == ["agent.status"]


async def test_a_change_of_condition_that_cannot_be_committed_changes_nothing(
    fleet: Fleet, watched: Watched
) -> None:
    await fleet.register(ALICE, registration())
    before = fleet.get("a1")
    watched.gone = True
    with pytest.raises(DatabaseUnavailable):
        await fleet.set_status(ALICE, "a1", Condition.ERROR)
    with pytest.raises(DatabaseUnavailable):
        await fleet.register(ALICE, registration(tags=("t",)))
    with pytest.raises(DatabaseUnavailable):
        await fleet.remove(ALICE, "a1")
    watched.gone = False
    assert fleet.get("a1") is before


async def test_a_committed_change_reaches_memory_though_its_caller_hangs_up(
    fleet: Fleet, watched: Watched
) -> None:
    committed, go_on = asyncio.Event(), asyncio.Event()
    write = watched.write

    async def write_and_wait(unit: Unit[T] | UnitMaker[T]) -> T:
        answer = await write(unit)
        committed.set()
        await go_on.wait()
        return answer

    watched.write = write_and_wait  # type: ignore[method-assign]
    call = asyncio.create_task(fleet.register(ALICE, registration()))
    await committed.wait()
    call.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    await fleet.stop()
    assert (await stored(watched, "presence"))[0] == "online"
    assert presence(fleet) == (Presence.ONLINE, 1.0)


async def test_silence_makes_late_then_offline_and_a_heartbeat_brings_back(
    fleet: Fleet, journal: Journal, watched: Watched, clock: FakeClock
) -> None:
    changed: list[str] = []
    await fleet.register(ALICE, registration())
    fleet.on_change(changed.append)
    clock.advance(89.9)
    assert await fleet.sweep(clock.now_us()) == 0
    clock.advance(0.1)
    assert await fleet.sweep(clock.now_us()) == 1
    assert presence(fleet) == (Presence.LATE, 0.8)
    assert await fleet.sweep(clock.now_us()) == 0
    clock.advance(210)
    assert await fleet.sweep(clock.now_us()) == 1
    assert presence(fleet) == (Presence.OFFLINE, 0.3)
    assert tuple(await stored(watched, "presence, health_score")) == ("offline", 0.3)
    await fleet.heartbeat(ALICE, "a1")
    assert presence(fleet) == (Presence.ONLINE, 1.0)
    assert tuple(await stored(watched, "presence, seen_at")) == ("online", clock.now_us())
    assert await kinds(journal) == ["agent.registered", "agent.late", "agent.offline", "agent.online"]
    # On PostgreSQL what is announced is read back and told once more.
    assert set(changed) == {"a1"}
    assert len(changed) >= 3


async def test_a_registration_brings_back_too(fleet: Fleet, journal: Journal, clock: FakeClock) -> None:
    await fleet.register(ALICE, registration())
    clock.advance(100)
    await fleet.sweep(clock.now_us())
    await fleet.register(ALICE, registration())
    assert presence(fleet) == (Presence.ONLINE, 1.0)
    assert await kinds(journal) == ["agent.registered", "agent.late", "agent.online"]


async def test_who_is_heard_in_time_is_never_late(fleet: Fleet, clock: FakeClock) -> None:
    await fleet.register(ALICE, registration())
    for _ in range(10):
        clock.advance(60)
        await fleet.heartbeat(ALICE, "a1")
        assert await fleet.sweep(clock.now_us()) == 0


async def test_after_a_long_silence_both_steps_are_journalled(
    fleet: Fleet, journal: Journal, clock: FakeClock
) -> None:
    await fleet.register(ALICE, registration())
    clock.advance(10_000)
    assert await fleet.sweep(clock.now_us()) == 2
    assert (await kinds(journal))[1:] == ["agent.late", "agent.offline"]


async def test_condition_and_presence_are_two_axes(fleet: Fleet, clock: FakeClock) -> None:
    await fleet.register(ALICE, registration())
    await fleet.set_status(ALICE, "a1", Condition.ERROR)
    clock.advance(100)
    await fleet.sweep(clock.now_us())
    view = fleet.get("a1")
    assert view is not None
    assert (view.condition, view.presence, view.health_score) == (Condition.ERROR, Presence.LATE, 0.3)
    await fleet.heartbeat(ALICE, "a1")
    view = fleet.get("a1")
    assert view is not None
    assert (view.condition, view.presence, view.health_score) == (Condition.ERROR, Presence.ONLINE, 0.5)


async def test_after_a_restart_everyone_gets_three_full_intervals(
    watched: Watched, journal: Journal, clock: FakeClock
) -> None:
    fleet = await started(watched, journal, clock)
    await fleet.register(ALICE, registration())
    await fleet.stop()
    clock.advance(3_600)
    fleet = await started(watched, journal, clock)
    for _ in range(3):
        assert await fleet.sweep(clock.now_us()) == 0
        assert presence(fleet) == (Presence.ONLINE, 1.0)
        clock.advance(30)
    assert await fleet.sweep(clock.now_us()) == 1
    assert presence(fleet) == (Presence.LATE, 0.8)
    clock.advance(209)
    assert await fleet.sweep(clock.now_us()) == 0
    clock.advance(1)
    assert await fleet.sweep(clock.now_us()) == 1
    await fleet.stop()
    assert await kinds(journal) == ["agent.registered", "agent.late", "agent.offline"]


async def test_many_silent_agents_are_marked_in_steps(
    fleet: Fleet, watched: Watched, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SWEEP_ROWS", 2)
    for number in range(3):
        for instance in ("i1", "i2"):
            await fleet.register(ALICE, registration(f"g{number}", instance=instance))
    clock.advance(50)
    await fleet.heartbeat(ALICE, "g0", "i1")
    clock.advance(50)
    written = watched.writes
    assert await fleet.sweep(clock.now_us()) == 5
    # the batch, then twos
    assert watched.writes == written + 1 + 3
    assert presence(fleet, "g0") == (Presence.ONLINE, 1.0)
    assert presence(fleet, "g1") == (Presence.LATE, 0.8)


async def test_a_heartbeat_while_its_sender_is_being_marked_wins(
    fleet: Fleet, watched: Watched, journal: Journal, clock: FakeClock
) -> None:
    await fleet.register(ALICE, registration())
    clock.advance(95)
    write = watched.write

    async def write_and_hear(unit: Unit[T] | UnitMaker[T]) -> T:
        watched.write = write  # type: ignore[method-assign]
        answer = await write(unit)
        # the mark is committed, memory does not know yet
        await fleet.heartbeat(ALICE, "a1")
        return answer

    watched.write = write_and_hear  # type: ignore[method-assign]
    assert await fleet.sweep(clock.now_us()) == 1
    assert presence(fleet) == (Presence.ONLINE, 1.0)
    assert (await stored(watched, "presence"))[0] == "online"
    assert await kinds(journal) == ["agent.registered", "agent.late", "agent.online"]


async def test_a_load_that_is_not_yet_written_survives_a_new_registration(
    fleet: Fleet, watched: Watched
) -> None:
    await fleet.register(ALICE, registration())
    await fleet.heartbeat(ALICE, "a1", load={"cpu_usage": 0.9})
    view = (await fleet.register(ALICE, registration(tags=("t",)))).view
    assert (view.load, view.health_score) == ({"cpu_usage": 0.9}, 0.7)
    await fleet.flush()
    assert json.loads((await stored(watched, "load"))[0]) == {"cpu_usage": 0.9}


async def test_the_average_response_time_follows_the_last_outcomes(fleet: Fleet) -> None:
    await fleet.register(ALICE, registration())
    for response_ms in (100.0, 200.0):
        fleet.record_outcome("a1", "default", True, response_ms)
    await fleet.flush()
    fleet.record_outcome("a1", "default", False, 20.0)
    await fleet.flush()
    view = fleet.get("a1")
    assert view is not None
    one = view.instances[0]
    assert (one.succeeded, one.failed, one.response_ms) == (2, 1, 100.0)
