"""The journal knows what was begun before it is begun."""

import sqlite3
from pathlib import Path

import pytest

from stellwerk.agent.clock import SECOND
from stellwerk.agent.journal import Entry, Journal, JournalUnusable, State

DAY_US = 86_400 * SECOND


def entry(task_id: str = "t", attempt: int = 1) -> Entry:
    return Entry(
        task_id, attempt, 7, State.RECEIVED, "docker.run", {"image": "a"}, True, False, 30.0, None, None, 0
    )


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "tasks.db")
    made.open()
    return made


async def test_what_was_left_is_found_by_the_next_process(journal: Journal, tmp_path: Path) -> None:
    await journal.received(entry("received"), 1)
    await journal.received(entry("started"), 2)
    await journal.started("started", 3)
    await journal.received(entry("finished"), 4)
    await journal.finished("finished", {"success": True}, 5)
    await journal.received(entry("settled"), 6)
    await journal.settled("settled")
    again = Journal(tmp_path / "tasks.db")
    again.open()
    left = await again.unsettled()
    assert [(one.task_id, one.state) for one in left] == [
        ("received", State.RECEIVED),
        ("started", State.STARTED),
        ("finished", State.FINISHED),
    ]
    assert left[1].started_at == 3
    assert left[2].outcome == {"success": True}
    assert left[0].payload == {"image": "a"}


async def test_a_newer_attempt_replaces_what_was_known(journal: Journal) -> None:
    await journal.received(entry(), 1)
    await journal.finished("t", {"success": False}, 2)
    await journal.received(entry(attempt=2), 3)
    known = await journal.find("t")
    assert known is not None
    assert (known.attempt, known.state, known.outcome) == (2, State.RECEIVED, None)


async def test_only_settled_tasks_are_removed_by_age(journal: Journal) -> None:
    for task_id in ("old", "new", "untold"):
        await journal.received(entry(task_id), 0)
        await journal.finished(task_id, {}, 9 * DAY_US if task_id == "new" else 0)
    await journal.settled("old")
    await journal.settled("new")
    await journal.prune(10 * DAY_US, 7)
    found = [task_id for task_id in ("old", "new", "untold") if await journal.find(task_id)]
    assert found == ["new", "untold"]


async def test_a_journal_of_a_newer_agent_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "tasks.db") as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(JournalUnusable, match="newer agent"):
        Journal(tmp_path / "tasks.db").open()


async def test_a_broken_journal_says_what_would_help(tmp_path: Path) -> None:
    (tmp_path / "tasks.db").write_bytes(b"no database, " * 100)
    with pytest.raises(JournalUnusable, match="move it away"):
        Journal(tmp_path / "tasks.db").open()
