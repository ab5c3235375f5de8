"""What the SQLite engine does when the world fails: everybody is told, and it recovers by itself."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from stellwerk.database.database import open_database
from stellwerk.database.errors import DatabaseLocked, DatabaseUnavailable
from stellwerk.database.unit import Add, Sql, Unit
from stellwerk.settings import DatabaseSettings
from support.database import sqlite_database
from support.units import Refused, names, put, put_then_raise, sleep

IMPATIENT = DatabaseSettings(busy_timeout_s=0.05)


def put_large(name: str, size: int) -> Unit[None]:
    yield from put(name, "x" * size)
    yield Add("large", 1)


def limit_pages(count: int) -> Unit[None]:
    yield Sql(f"PRAGMA max_page_count = {count}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_told_to_the_whole_group_and_passes(small_disk: Path) -> None:
    async with sqlite_database(small_disk) as database:
        await database.write(put("before", count=1))
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 65_536)
        answers = await asyncio.gather(
            *(database.write(put_large(f"n{i}", 100_000)) for i in range(20)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        assert {answer.retry_after_s for answer in answers if isinstance(answer, DatabaseUnavailable)} == {10}
        assert await database.read(names) == ["before"]
        filler.unlink()
        await database.write(put_large("after", 100_000))
        assert await database.read(names) == ["after", "before"]
        assert await database.counters() == {"puts": 1, "large": 1}


async def test_a_full_database_file_is_told_like_a_full_disk(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path) as database:
        await database.write(limit_pages(100))
        with pytest.raises(DatabaseUnavailable, match="disk is full"):
            await database.write(put_large("large", 1_000_000))
        await database.write(put("small"))
        assert await database.read(names) == ["small"]


async def test_a_foreign_lock_is_waited_for(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path) as database:
        foreign = sqlite3.connect(database.path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(database.write(put("a")))
        await asyncio.sleep(0.1)
        assert not write.done()  # And the event loop went on, or this would not have been reached.
        foreign.execute("ROLLBACK")
        assert await write == "a"
        foreign.close()


async def test_a_foreign_lock_that_stays_is_told_and_reading_goes_on(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path, IMPATIENT) as database:
        await database.write(put("before"))
        foreign = sqlite3.connect(database.path, isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        answers = await asyncio.gather(
            *(database.write(put(f"n{i}")) for i in range(5)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        assert await database.read(names) == ["before"]
        foreign.execute("COMMIT")
        foreign.close()
        await database.write(put("after"))
        assert await database.read(names) == ["after", "before"]


async def test_a_unit_run_aside_does_not_hold_up_the_event_loop(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path) as database:
        await database.write(put("before"))
        slow = asyncio.create_task(database.write(lambda: sleep(0.5), aside=True))
        turns = 0
        while not slow.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 5


async def test_who_follows_up_on_what_has_run_shares_its_commit(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path) as database:
        await database.write(put("before"))
        reader = sqlite3.connect(f"file:{database.path}?mode=ro", uri=True)
        ended: list[str] = []
        following: list[asyncio.Task[list[str]]] = []

        async def follow() -> list[str]:
            found = await database.write(names)
            ended.append("follower")
            return found

        def ran(answer: str) -> None:
            ended.append(f"{answer} ran")
            assert reader.execute("SELECT count(*) FROM settings_kv").fetchone() == (1,)
            following.append(asyncio.create_task(follow()))

        await database.write(put("first"), ran=ran)
        ended.append("first")
        assert await following[0] == ["before", "first"]
        assert sorted(ended[1:]) == ["first", "follower"]
        assert ended[0] == "first ran"
        reader.close()


async def test_what_has_run_is_not_told_of_a_unit_that_raised(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path) as database:
        told: list[None] = []
        with pytest.raises(Refused):
            await database.write(put_then_raise("a"), ran=told.append)
        assert told == []


async def test_a_directory_that_is_in_use_is_refused(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path):
        with pytest.raises(DatabaseLocked, match=f"pid {os.getpid()}"):
            await open_database("sqlite", data_dir=tmp_path, settings=DatabaseSettings())
    async with sqlite_database(tmp_path) as database:
        await database.write(put("a"))


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with sqlite_database(folder) as database:
        await database.write(put("a"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert modes == {
        "data": 0o700,
        "stellwerk.db": 0o600,
        "stellwerk.db-wal": 0o600,
        "stellwerk.db-shm": 0o600,
        "stellwerk.lock": 0o600,
    }


async def test_closing_waits_for_what_was_handed_in(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path) as database:
        slow = asyncio.create_task(database.write(lambda: sleep(0.1)))
        writes = [asyncio.create_task(database.write(put(f"n{i}"))) for i in range(10)]
        await asyncio.sleep(0)
        await database.close()
        await slow
        assert [await write for write in writes] == [f"n{i}" for i in range(10)]
    assert not (tmp_path / "stellwerk.db-wal").exists()


async def test_a_unit_whose_caller_has_gone_before_its_turn_is_not_run(tmp_path: Path) -> None:
    with capture_logs() as logs:
        await run_behind_one_that_is_gone(tmp_path)
    assert logs == []


async def run_behind_one_that_is_gone(tmp_path: Path) -> None:
    async with sqlite_database(tmp_path) as database:
        slow = asyncio.create_task(database.write(lambda: sleep(0.3)))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(database.write(put("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        await slow
        await database.write(put("there"))
        assert await database.read(names) == ["there"]


_KILLED = """
import asyncio, os, sys
from pathlib import Path
from support.database import sqlite_database
from support.units import put

async def main():
    async with sqlite_database(Path(sys.argv[1])) as database:
        async def one(number):
            await database.write(put(f"n{number:05}", count=1))
            os.write(1, b"n%05d\\n" % number)
        await asyncio.gather(*(one(number) for number in range(5000)))

asyncio.run(main())
"""


def killed_after(answers: int, folder: Path) -> set[str]:
    """Run a process that writes, kill it after some answers, and return all that it answered."""
    tests = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED, folder],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tests)},
    ) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline() for _ in range(answers)]
        process.kill()
        answered += process.stdout.readlines()
    return {line.decode().strip() for line in answered if line.endswith(b"\n")}


async def test_a_killed_process_loses_nothing_that_it_answered(tmp_path: Path) -> None:
    acknowledged = await asyncio.to_thread(killed_after, 500, tmp_path)
    async with sqlite_database(tmp_path) as database:
        stored = set(await database.read(names))
        assert acknowledged <= stored
        assert await database.counters() == {"puts": len(stored)}
