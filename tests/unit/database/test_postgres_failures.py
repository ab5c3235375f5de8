"""What the PostgreSQL engine does when the world fails: callers are told, and it recovers by itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.settings import DatabaseSettings, JournalSettings
from support.clock import FakeClock
from support.postgres import NoPostgres, PostgresServer
from support.units import names, put, put_many, sleep

pytestmark = pytest.mark.postgres


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    try:
        server = PostgresServer()
    except NoPostgres as reason:
        pytest.skip(f"no PostgreSQL: {reason}")
    yield server
    server.remove()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[Database]:
    database = await opened(postgres_url)
    yield database
    await database.close()


async def opened(url: str, **settings: float) -> Database:
    return await open_database(url, data_dir=Path(), settings=DatabaseSettings(**settings))  # type: ignore[arg-type]


def touch_both(first: str, second: str) -> Unit[None]:
    for name in (first, second):
        yield Sql("UPDATE settings_kv SET updated_at = updated_at + 1 WHERE name = $1", (name,))
        yield from sleep(0.1)


def updates() -> Unit[list[int]]:
    return [row[0] for row in (yield Sql("SELECT updated_at FROM settings_kv ORDER BY name"))]


def end_other_connections() -> Unit[int]:
    text = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state IS DISTINCT FROM 'idle'"
    )
    return len((yield Sql(text)))


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
async def test_a_server_that_goes_and_comes_back_is_used_again(
    own_server: PostgresServer, killed: bool
) -> None:
    database = await opened(own_server.url())
    woken = asyncio.Event()
    database.listen("queue", woken.set)
    await asyncio.gather(*(database.write(put(f"n{i}")) for i in range(8)))
    await asyncio.to_thread(own_server.stop, killed=killed)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            async with asyncio.timeout(10):
                await database.write(put("lost"))
        with pytest.raises(DatabaseUnavailable):
            async with asyncio.timeout(10):
                await database.read(names)
    woken.clear()
    await asyncio.to_thread(own_server.start)
    await asyncio.gather(*(database.write(put(f"later{i}")) for i in range(8)))
    assert await database.read(names) == [f"later{i}" for i in range(8)] + [f"n{i}" for i in range(8)]
    async with asyncio.timeout(10):
        # Hints may have been lost meanwhile, so whoever listens is woken.
        await woken.wait()
    await database.close()


async def test_a_restart_between_two_writes_is_not_even_noticed(own_server: PostgresServer) -> None:
    database = await opened(own_server.url())
    await asyncio.gather(*(database.write(put(f"n{i}")) for i in range(8)))
    own_server.stop()
    own_server.start()
    await database.write(put("later"))
    await database.close()


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        await opened(f"postgresql://postgres@/x?host={tmp_path}")


async def test_a_database_that_is_not_there_is_unavailable(postgres_server: PostgresServer) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await opened(postgres_server.url("nowhere"))


async def test_a_connection_lost_in_the_middle_undoes_its_unit(postgres: Database) -> None:
    def unit() -> Unit[None]:
        yield from put("lost", count=1)
        yield from sleep(30)

    running = asyncio.create_task(postgres.write(unit))
    await asyncio.sleep(0.2)
    assert await postgres.write(end_other_connections) >= 1
    with pytest.raises(DatabaseUnavailable):
        await running
    assert await postgres.read(names) == []
    assert await postgres.counters() == {}


async def test_a_cancelled_unit_is_undone_and_holds_nobody_back(postgres: Database) -> None:
    def unit() -> Unit[None]:
        yield from put("same")
        yield from sleep(30)

    running = asyncio.create_task(postgres.write(unit))
    await asyncio.sleep(0.2)
    running.cancel()
    async with asyncio.timeout(5):
        await postgres.write(put("same"))
    assert await postgres.read(names) == ["same"]


async def test_a_deadlock_is_tried_again_when_the_unit_can_be_made_afresh(postgres: Database) -> None:
    await postgres.write(lambda: put_many(["a", "b"]))
    await asyncio.gather(
        postgres.write(lambda: touch_both("a", "b")), postgres.write(lambda: touch_both("b", "a"))
    )
    assert await postgres.read(updates) == [3, 3]


async def test_a_deadlock_of_started_units_is_unavailable_for_one_of_them(postgres: Database) -> None:
    await postgres.write(lambda: put_many(["a", "b"]))
    answers = await asyncio.gather(
        postgres.write(touch_both("a", "b")), postgres.write(touch_both("b", "a")), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["DatabaseUnavailable", "NoneType"]
    assert await postgres.read(updates) == [2, 2]


async def test_replicas_count_in_slots_of_their_own(postgres_url: str) -> None:
    replicas = [await opened(postgres_url) for _ in range(3)]
    await asyncio.gather(
        *(replica.write(put(f"n{i}-{j}", count=1)) for i, replica in enumerate(replicas) for j in range(20))
    )

    def slots() -> Unit[int]:
        return int((yield Sql("SELECT count(DISTINCT slot) FROM counters"))[0][0])

    assert await replicas[0].read(slots) >= 3
    assert await replicas[0].counters() == {"puts": 60}
    for replica in replicas:
        await replica.close()


async def test_whoever_finds_no_free_connection_waits_for_a_limited_time(postgres_url: str) -> None:
    database = await opened(postgres_url, pool_size=1, busy_timeout_s=0.1)
    slow = asyncio.create_task(database.write(lambda: sleep(1)))
    await asyncio.sleep(0.05)
    with pytest.raises(DatabaseUnavailable, match="busy"):
        await database.write(put("a"))
    await slow
    await database.write(put("b"))
    assert await database.read(names) == ["b"]
    await database.close()


async def test_what_is_acknowledged_is_on_the_disk_whatever_the_role_says(postgres: Database) -> None:
    def setting() -> Unit[str]:
        return str((yield Sql("SHOW synchronous_commit"))[0][0])

    assert await postgres.read(setting) == "on"


async def test_the_journal_of_a_restored_dump_goes_on_behind_what_it_has(postgres_url: str) -> None:
    """A dump carries the transaction numbers of the server that it came from."""

    def restore() -> Unit[None]:
        insert = "INSERT INTO events (xid, at, kind, class, data) VALUES ($1, 1, $2, 'task', '{}')"
        for number, kind in ((600, "old.1"), (2**40, "old.2"), (2**41, "old.3")):
            yield Sql(insert, (number, kind))

    before = await opened(postgres_url)
    await before.write(restore)
    await before.close()
    after = await opened(postgres_url)
    journal = Journal(after, JournalSettings(), FakeClock())
    await journal.record(Event("new.1", Retention.TASK))
    assert [event.kind for event in (await journal.page()).events] == ["old.1", "old.2", "old.3", "new.1"]
    await after.close()
