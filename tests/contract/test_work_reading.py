"""Lists, pages and figures; the plans of the hot statements."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stellwerk.database.database import Database
from stellwerk.database.unit import Many, PerEngine, Sql, Unit
from stellwerk.trust.principal import LOCAL
from stellwerk.work import cancelling, leasing, reading, reporting, store, sweeping
from stellwerk.work.refusals import InvalidCursor
from stellwerk.work.states import State
from stellwerk.work.task import Task, TaskFilter
from support.clock import FakeClock
from support.work import ANNA, BERT, BOB, Queue

QUEUED = 100_000


async def pages(queue: Queue, filters: TaskFilter, limit: int) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await queue.work.list(filters, cursor, limit)
        assert len(page.tasks) <= limit
        ids += [task.task_id for task in page.tasks]
        cursor = page.next_cursor
        if cursor is None:
            return ids


async def test_pages_show_every_task_once_newest_first(queue: Queue) -> None:
    ids = []
    for n in range(25):
        ids.append(await queue.submit())
        queue.clock.advance(n % 3)
    expected = [
        task.task_id
        for task in sorted(
            [await queue.task(task_id) for task_id in ids],
            key=lambda one: (one.submitted_at, one.task_id),
            reverse=True,
        )
    ]
    for limit in (1, 4, 5, 24, 25, 26):
        assert await pages(queue, TaskFilter(), limit) == expected


async def test_lists_are_filtered(queue: Queue) -> None:
    given = await queue.run(task_type="a")
    await queue.work.fail(ANNA, given.task_id, given.fence, '"e"', retryable=False)
    held = await queue.run(BERT, task_type="b", priority=20)
    mine = await queue.submit(BOB, task_type="b")

    async def shown(**fields: Any) -> set[str]:
        return set(await pages(queue, TaskFilter(**fields), 2))

    assert await shown(states=(State.FAILED,)) == {given.task_id}
    assert await shown(states=(State.FAILED, State.QUEUED)) == {given.task_id, mine}
    assert await shown(task_type="b") == {held.task_id, mine}
    assert await shown(group="bert") == {held.task_id}
    assert await shown(priority=20) == {held.task_id}
    assert await shown(principal=BOB.id) == {mine}
    assert await shown(states=(State.QUEUED,), task_type="a") == set()


async def test_a_list_leaves_out_data_and_results(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.complete(ANNA, given.task_id, given.fence, "1")
    (task,) = (await queue.work.list(TaskFilter())).tasks
    assert (task.task_data, task.requirements, task.result, task.error) == (None, None, None, None)
    assert task.state is State.SUCCEEDED


@pytest.mark.parametrize("cursor", ["", "nonsense", "W10", "é", "WzEsMl0", "x" * 5_000])
async def test_a_foreign_cursor_is_refused(queue: Queue, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        await queue.work.list(TaskFilter(), cursor)


async def test_figures_stay_consistent_with_the_tasks(queue: Queue) -> None:
    for n in range(12):
        await queue.submit(priority=n % 5 * 10, repeatable=bool(n % 2), max_attempts=1 + n % 2)
    given = await queue.lease(ANNA, limit=9)
    for number, one in enumerate(given):
        match number % 4:
            case 0:
                await queue.work.complete(ANNA, one.task_id, one.fence, "1")
            case 1:
                await queue.work.fail(ANNA, one.task_id, one.fence, '"e"')
            case 2:
                await queue.work.acknowledge(ANNA, one.task_id, one.fence)
            case _:
                await queue.work.cancel(LOCAL, one.task_id)
    await queue.pass_time(100)
    stats = await queue.work.stats()
    tasks: list[Task] = list((await queue.work.list(TaskFilter())).tasks)
    for state in State:
        assert stats.states[state] == sum(task.state is state for task in tasks), state
    assert sum(stats.queue_sizes.values()) == stats.states["queued"]
    assert stats.completed == stats.states["succeeded"]
    assert stats.failed == stats.states["failed"] + stats.states["dead"]


# Plans: what lies still costs nothing


def fill(rows: list[tuple[Any, ...]]) -> Unit[None]:
    yield Many(
        "INSERT INTO tasks (task_id, principal, task_type, queue_key, form_id, priority, priority_name,"
        " rank_at,"
        " state, repeatable, attempt, max_attempts, fence, submitted_at, delayed, not_before, deadline_at,"
        " lease_expires_at, holder_group, holder_instance, finished_at)"
        " VALUES"
        " ($1, 'p', '', $2, 'any', 10, 'normal', $3, $4, 1, 0, 3, 0, $3, $5, $6, $7, $8, $9, $10, $11)",
        rows,
    )


def row_of(number: int) -> tuple[Any, ...]:
    """Mostly waiting tasks, and some of every other kind."""
    kind = number % 50
    held = kind == 1
    return (
        f"t{number:08}",
        f"form{number % 7}",
        number,
        "running" if held else "succeeded" if kind == 2 else "queued",
        int(kind == 3),
        number if kind == 3 else None,
        number if kind == 4 else None,
        number if held else None,
        f"g{number % 1_000}" if held else None,
        "one" if held else None,
        number if kind == 2 else None,
    )


@pytest.fixture(scope="module")
def rows() -> list[tuple[Any, ...]]:
    return [row_of(number) for number in range(QUEUED)]


@pytest.fixture
async def full(database: Database, rows: list[tuple[Any, ...]]) -> AsyncIterator[Queue]:
    """A queue with 100,000 tasks."""
    for start in range(0, QUEUED, 10_000):
        await database.write(lambda start=start: fill(rows[start : start + 10_000]))  # type: ignore[misc]

    yield Queue(database, FakeClock())


def explained(statement: Sql) -> Unit[str]:
    text = (
        statement.text if isinstance(statement.text, PerEngine) else PerEngine(statement.text, statement.text)
    )
    explain = PerEngine(f"EXPLAIN QUERY PLAN {text.sqlite}", f"EXPLAIN {text.postgres}")
    found = yield Sql(explain, statement.parameters)
    return "\n".join(str(row[-1]) for row in found)


SOME = json.dumps(["t00000001", "t00000002"])
STATEMENTS = {
    "heads": (Sql(leasing.HEADS, ("form1", 10, -(2**63), "")), "tasks_ready"),
    "heads behind": (Sql(leasing.HEADS, ("form1", 10, 50_000, "t00050000")), "tasks_ready"),
    "waiting queues": (Sql(leasing._WAITING), "tasks_ready"),
    "still ready": (Sql(leasing._STILL_READY, (json.dumps(["form1", "form9"]),)), "tasks_ready"),
    "lease": (Sql(leasing._LEASE, ("t00000001", 1, 1, "g", "i")), "tasks_pkey"),
    "load": (Sql(store._ONE, ("t00000001",)), "tasks_pkey"),
    "load some": (Sql(store._SOME, (SOME,)), "tasks_pkey"),
    "expired": (Sql(sweeping._EXPIRED, (100, 200)), "tasks_lease"),
    "overdue": (Sql(sweeping._OVERDUE, (100, 200)), "tasks_deadline"),
    "due": (Sql(sweeping._RELEASE_DUE, (100, 200)), "tasks_due"),
    "old": (Sql(sweeping._OLD, (100, 200)), "tasks_finished"),
    "held": (Sql(reading._HELD, ("g1", "one")), "tasks_holder"),
    "renew": (Sql(reporting._RENEW_HOLDER, ("g1", "one", 1, 1)), "tasks_holder"),
    "shorten": (Sql(reporting._SHORTEN, ("g1", "one", 1)), "tasks_holder"),
    # As good as the index over states while nearly everything waits.
    "clear": (Sql(cancelling._QUEUED_SINCE, (5, "t", 10**9, 500)), "tasks_"),
    "stopping": (Sql(reading._STOPPING), "tasks_stopping"),
    "list": (Sql(reading._listing(TaskFilter(), (500, "t"), 100)[0], (500, "t")), "tasks_recent"),
    "list of one state": (
        Sql(*reading._listing(TaskFilter(states=(State.DEAD,)), (500, "t"), 100)),
        "tasks_state",
    ),
    "list of the held": (
        Sql(*reading._listing(TaskFilter(states=(State.RUNNING,)), (500, "t"), 100)),
        "tasks_lease",
    ),
}


def analyse() -> Unit[None]:
    yield Sql("ANALYZE tasks")


async def wrong_plans(database: Database) -> list[str]:
    """Return the statements that do not go through their index."""
    primary = {"sqlite": "sqlite_autoindex_tasks_1", "postgres": "tasks_pkey"}[database.engine]
    wrong = []
    for name, (statement, index) in STATEMENTS.items():
        plan = await database.write(lambda statement=statement: explained(statement))  # type: ignore[misc]
        wanted = primary if index == "tasks_pkey" else index
        scans = [line for line in plan.splitlines() if line.strip() in ("SCAN tasks", "SCAN t")]
        if wanted not in plan or scans or "Seq Scan on tasks" in plan:
            wrong.append(f"{name}: {plan}")
    return wrong


async def test_a_hundred_thousand_waiting_tasks_do_not_change_the_plans(full: Queue) -> None:
    # SQLite plans with the statistics that a file has or with none; PostgreSQL gathers them by itself.
    if full.database.engine == "sqlite":
        assert await wrong_plans(full.database) == []
    await full.database.write(analyse)
    assert await wrong_plans(full.database) == []
