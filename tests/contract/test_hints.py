"""What notifications promise on both engines."""

import asyncio
from pathlib import Path

import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.settings import DatabaseSettings


async def test_a_notification_calls_the_listeners_of_its_channel(database: Database) -> None:
    called = asyncio.Event()
    other = asyncio.Event()
    database.listen("queue", called.set)
    database.listen("other", other.set)
    await asyncio.sleep(0.2)
    other.clear()
    called.clear()
    await database.notify("queue")
    async with asyncio.timeout(5):
        await called.wait()
    assert not other.is_set()


async def test_notifications_in_one_breath_are_joined(database: Database) -> None:
    calls = []
    database.listen("queue", lambda: calls.append(1))
    await asyncio.sleep(0.2)
    calls.clear()
    for _ in range(100):
        await database.notify("queue")
    await asyncio.sleep(0.1)
    assert len(calls) == 1


async def test_who_has_stopped_listening_is_not_called(database: Database) -> None:
    calls = []
    kept = asyncio.Event()
    unlisten = database.listen("queue", lambda: calls.append(1))
    database.listen("queue", kept.set)
    await asyncio.sleep(0.2)
    calls.clear()
    kept.clear()
    unlisten()
    unlisten()
    await database.notify("queue")
    async with asyncio.timeout(5):
        await kept.wait()
    assert calls == []


@pytest.mark.postgres
async def test_a_notification_reaches_other_replicas(postgres_url: str, tmp_path: Path) -> None:
    here = await open_database(postgres_url, data_dir=tmp_path, settings=DatabaseSettings())
    there = await open_database(postgres_url, data_dir=tmp_path, settings=DatabaseSettings())
    called = asyncio.Event()
    there.listen("queue", called.set)
    async with asyncio.timeout(5):
        # Being called once at first tells that the other side listens.
        await called.wait()
        called.clear()
        while not called.is_set():
            await here.notify("queue")
            await asyncio.sleep(0.02)
    await here.close()
    await there.close()
