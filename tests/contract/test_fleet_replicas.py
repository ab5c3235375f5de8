"""Two replicas on one PostgreSQL: each sees what the other does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stellwerk.database.database import open_database
from stellwerk.fleet.errors import OwnedByAnother
from stellwerk.fleet.model import AgentQuery, Condition, Presence
from stellwerk.fleet.service import Fleet
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import DatabaseSettings, FleetSettings, JournalSettings
from support.clock import FakeClock
from support.fleet import ALICE, BOB, registration

pytestmark = pytest.mark.postgres


@asynccontextmanager
async def replica(url: str, clock: FakeClock, data_dir: Path) -> AsyncIterator[tuple[Fleet, Journal]]:
    database = await open_database(url, data_dir=data_dir, settings=DatabaseSettings(pool_size=4))
    journal = Journal(database, JournalSettings(), clock)
    fleet = Fleet(database, journal, FleetSettings(flush_s=0.05, sweep_s=60), clock)
    await fleet.start()
    try:
        yield fleet, journal
    finally:
        await fleet.stop()
        await journal.stop()
        await database.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def here(postgres_url: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with replica(postgres_url, clock, tmp_path) as (fleet, _):
        yield fleet


@pytest.fixture
async def there(postgres_url: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Fleet]:
    async with replica(postgres_url, clock, tmp_path) as (fleet, _):
        yield fleet


async def becomes(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 the other replica has no event here
            await asyncio.sleep(0.01)


async def test_a_change_here_is_seen_there(here: Fleet, there: Fleet) -> None:
    heard: list[str] = []
    there.on_change(heard.append)
    await here.register(ALICE, registration(capabilities=("x",)))
    await becomes(lambda: len(there.find(AgentQuery(capabilities=("x",)))) == 1)
    await here.set_status(ALICE, "a1", Condition.BUSY)
    await becomes(lambda: there.find(AgentQuery())[0].condition is Condition.BUSY)
    await here.register(ALICE, registration(capabilities=("y",)))
    await becomes(lambda: there.find(AgentQuery(capabilities=("x",))) == [])
    await here.remove(ALICE, "a1")
    await becomes(lambda: there.get("a1") is None)
    assert heard == ["a1"] * 4


async def test_a_new_instance_or_version_of_a_known_agent_is_known_there_at_once(
    here: Fleet, there: Fleet
) -> None:
    await here.register(ALICE, registration(instance="one", version="1.0.0"))
    await becomes(lambda: there.get("a1") is not None)
    await here.register(ALICE, registration(instance="two", version="1.0.0"))
    await there.heartbeat(ALICE, "a1", "two", load={"cpu_usage": 0.9})
    await here.register(ALICE, registration(instance="three", version="2.0.0"))
    view = await there.get_with("a1", version="2.0.0")
    assert view is not None and {one.version for one in view.versions} == {"1.0.0", "2.0.0"}
    assert (await there.get_with("a1", version="3.0.0")) is not None


async def test_an_agent_that_just_joined_here_can_report_there_at_once(here: Fleet, there: Fleet) -> None:
    await here.register(ALICE, registration())
    view = await there.get_fresh("a1")
    assert view is not None and view.owner == "key:alice"
    await here.register(ALICE, registration("a2"))
    await there.heartbeat(ALICE, "a2", load={"cpu_usage": 0.9})


async def test_ownership_holds_across_replicas(here: Fleet, there: Fleet) -> None:
    answers = await asyncio.gather(
        here.register(ALICE, registration()), there.register(BOB, registration()), return_exceptions=True
    )
    assert sum(isinstance(answer, OwnedByAnother) for answer in answers) == 1


async def test_concurrent_registrations_on_both_make_one_group(here: Fleet, there: Fleet) -> None:
    answers = await asyncio.gather(
        *(
            fleet.register(ALICE, registration(instance=f"i{number}"))
            for number in range(8)
            for fleet in (here, there)
        )
    )
    assert [answer.created for answer in answers].count(True) == 1
    for fleet in (here, there):
        await becomes(lambda fleet=fleet: len(fleet.find(AgentQuery())[0].instances) == 8)  # type: ignore[misc]


async def test_who_is_heard_there_is_not_late_here(here: Fleet, there: Fleet, clock: FakeClock) -> None:
    await here.register(ALICE, registration())
    clock.advance(80)
    await there.get_fresh("a1")
    await there.heartbeat(ALICE, "a1")
    await there.flush()
    clock.advance(20)
    assert await here.sweep(clock.now_us()) == 0
    assert await there.sweep(clock.now_us()) == 0


async def test_silence_is_journalled_once_though_both_look(
    here: Fleet, there: Fleet, clock: FakeClock, postgres_url: str, tmp_path: Path
) -> None:
    for number in range(20):
        await here.register(ALICE, registration(f"g{number}"))
    await becomes(lambda: there.counts().agents == 20)
    clock.advance(95)
    await asyncio.gather(*(fleet.sweep(clock.now_us()) for fleet in (here, there)))
    for fleet in (here, there):
        await becomes(
            lambda fleet=fleet: {view.presence for view in fleet.find(AgentQuery())} == {Presence.LATE}
        )  # type: ignore[misc]
    async with replica(postgres_url, clock, tmp_path) as (_, journal):
        page = await journal.page(EventFilter(kinds=("agent.late",)))
    assert sorted(event.group or "" for event in page.events) == sorted(f"g{number}" for number in range(20))


async def test_a_heartbeat_there_that_was_not_yet_written_brings_back_who_was_marked_here(
    here: Fleet, postgres_url: str, clock: FakeClock, tmp_path: Path
) -> None:
    await here.register(ALICE, registration())
    database = await open_database(postgres_url, data_dir=tmp_path, settings=DatabaseSettings(pool_size=2))
    journal = Journal(database, JournalSettings(), clock)
    there = Fleet(database, journal, FleetSettings(flush_s=60, sweep_s=60), clock)
    await there.start()
    clock.advance(95)
    # online by what `there` knows, so only its memory changes
    await there.heartbeat(ALICE, "a1")
    await here.sweep(clock.now_us())
    for fleet in (there, here):
        await becomes(lambda fleet=fleet: fleet.find(AgentQuery())[0].presence is Presence.ONLINE)  # type: ignore[misc]
    await there.stop()
    page = await journal.page(EventFilter(kinds=("agent.*",)))
    assert [event.kind for event in page.events] == ["agent.registered", "agent.late", "agent.online"]
    await journal.stop()
    await database.close()


async def test_loads_and_times_reported_there_are_shown_here(
    here: Fleet, there: Fleet, clock: FakeClock
) -> None:
    await here.register(ALICE, registration())
    await there.get_fresh("a1")
    clock.advance(3)
    await there.heartbeat(ALICE, "a1", load={"cpu_usage": 0.9})
    await there.flush()
    await here._following.look()
    view = here.get("a1")
    assert view is not None
    assert (view.seen_at, view.load, view.health_score) == (clock.now_us(), {"cpu_usage": 0.9}, 0.7)


async def test_outcomes_count_once_though_their_agent_is_read_back_meanwhile(here: Fleet) -> None:
    await here.register(ALICE, registration())
    for number in range(1, 60):
        here.record_outcome("a1", "default", True, 100.0)
        await asyncio.gather(here.flush(), here._following.reread(["a1"]))
        view = here.get("a1")
        assert view is not None
        assert view.instances[0].succeeded == number
