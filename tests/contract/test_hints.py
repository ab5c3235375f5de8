"""What notifications promise on both engines."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stellwerk.database import postgres_hints
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


async def test_a_notification_for_others_does_not_come_back(database: Database) -> None:
    calls = []
    kept = asyncio.Event()
    database.listen("queue", lambda: calls.append(1))
    database.listen("other", kept.set)
    await asyncio.sleep(0.2)
    calls.clear()
    kept.clear()
    await database.notify("queue", here=False)
    await database.notify("other")
    async with asyncio.timeout(5):
        await kept.wait()
    assert calls == []


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
async def test_hints_that_meet_a_probe_of_the_connection_do_not_break_it(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_hints, "_PROBE_S", 0.001)
    monkeypatch.setattr(postgres_hints, "_GATHER_S", 0.0)
    database = await open_database(postgres_url, data_dir=tmp_path, settings=DatabaseSettings())
    listening = asyncio.Event()
    database.listen("queue", listening.set)
    async with asyncio.timeout(5):
        await listening.wait()
    with capture_logs() as logs:
        for _ in range(500):
            await database.notify("queue")
            await asyncio.sleep(0.001)
    await database.close()
    assert logs == []


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
