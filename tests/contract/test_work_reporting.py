"""Progress, logs and signs of life."""

import asyncio

import pytest

from stellwerk.database.database import Database
from stellwerk.work.refusals import LeaseLost, UnknownTask
from stellwerk.work.states import State
from stellwerk.work.task import LogLine
from support.clock import FakeClock
from support.work import ANNA, BERT, Queue


async def test_progress_never_goes_back(queue: Queue) -> None:
    given = await queue.run()
    for fraction in (0.2, 0.7, 0.4, 7.0, -1.0):
        await queue.work.progress(ANNA, given.task_id, given.fence, fraction, f"at {fraction}")
        if fraction == 0.4:
            assert (await queue.task(given.task_id)).progress == 0.7
    task = await queue.task(given.task_id)
    assert (task.progress, task.progress_note) == (1.0, "at -1.0")


async def test_progress_sent_at_once_keeps_the_highest(queue: Queue) -> None:
    given = await queue.run()
    await asyncio.gather(
        *(queue.work.progress(ANNA, given.task_id, given.fence, n / 50) for n in (7, 31, 12, 30, 1))
    )
    assert (await queue.task(given.task_id)).progress == 31 / 50


async def test_a_new_attempt_begins_without_progress(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.progress(ANNA, given.task_id, given.fence, 0.9)
    await queue.work.fail(ANNA, given.task_id, given.fence, '"e"')
    await queue.pass_time(1)
    await queue.take()
    assert (await queue.task(given.task_id)).progress is None


async def test_progress_renews_the_lease(queue: Queue) -> None:
    given = await queue.run()
    for _ in range(4):
        await queue.pass_time(80)
        standing = await queue.work.progress(ANNA, given.task_id, given.fence, 0.1)
        assert standing.lease_expires_at == queue.clock.now_us() + 90_000_000
    assert await queue.standing(given.task_id) == (State.RUNNING, None)


async def test_a_report_on_a_delivered_task_starts_it(queue: Queue) -> None:
    await queue.submit(repeatable=False)
    given = await queue.take()
    await queue.work.log(ANNA, given.task_id, given.fence, [LogLine(0, "begun")])
    assert await queue.standing(given.task_id) == (State.RUNNING, None)
    assert "task.started" in await queue.kinds(given.task_id)


async def test_reports_without_a_lease_are_refused_and_keep_nothing(queue: Queue) -> None:
    given = await queue.run()
    for holder, fence in ((BERT, given.fence), (ANNA, given.fence + 1)):
        with pytest.raises(LeaseLost):
            await queue.work.log(holder, given.task_id, fence, [LogLine(0, "x")])
        with pytest.raises(LeaseLost):
            await queue.work.progress(holder, given.task_id, fence, 0.5)
    with pytest.raises(UnknownTask):
        await queue.work.progress(ANNA, "nothing", 1, 0.5)
    assert (await queue.task(given.task_id)).progress is None
    assert (await queue.work.logs(given.task_id)).lines == ()


async def test_lines_are_kept_in_order_and_once(queue: Queue) -> None:
    given = await queue.run()
    lines = [LogLine(n, f"line {n}", "warn" if n == 2 else "info", 1_000 + n) for n in range(5)]
    await queue.work.log(ANNA, given.task_id, given.fence, lines[:3])
    await queue.work.log(ANNA, given.task_id, given.fence, lines)
    log = await queue.work.logs(given.task_id)
    assert (log.lines, log.attempt, log.more) == (tuple(lines), 1, False)
    assert [line.seq for line in (await queue.work.logs(given.task_id, after_seq=2)).lines] == [3, 4]
    page = await queue.work.logs(given.task_id, limit=2)
    assert ([line.seq for line in page.lines], page.more) == ([0, 1], True)


async def test_each_attempt_has_a_log_of_its_own(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.log(ANNA, given.task_id, given.fence, [LogLine(0, "first")])
    await queue.work.fail(ANNA, given.task_id, given.fence, '"e"')
    await queue.pass_time(1)
    again = await queue.take()
    await queue.work.log(ANNA, again.task_id, again.fence, [LogLine(0, "second", at=5)])
    assert [line.line for line in (await queue.work.logs(given.task_id)).lines] == ["second"]
    assert [line.line for line in (await queue.work.logs(given.task_id, attempt=1)).lines] == ["first"]


async def test_a_long_line_is_cut_with_a_mark(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.log(ANNA, given.task_id, given.fence, [LogLine(0, "é" * 8_192), LogLine(1, "x" * 8_192)])
    cut, whole = (await queue.work.logs(given.task_id)).lines
    assert len(cut.line.encode()) <= 8_192
    assert cut.line.endswith("(cut)")
    assert whole.line == "x" * 8_192


async def test_a_log_past_its_limit_ends_with_one_marker(database: Database) -> None:
    queue = Queue(database, FakeClock(), log_task_bytes=1_000)
    await queue.start()
    given = await queue.run()
    for start in range(0, 30, 5):
        lines = [LogLine(n, "x" * 100) for n in range(start, start + 5)]
        await queue.work.log(ANNA, given.task_id, given.fence, lines)
    kept = (await queue.work.logs(given.task_id)).lines
    assert len(kept) == 11
    assert kept[-1].line.startswith("The log has reached its limit of 1000 bytes")
    assert all(line.line == "x" * 100 for line in kept[:-1])
    await queue.stop()
    again = Queue(database, queue.clock, log_task_bytes=1_000)
    await again.start()
    await again.work.log(ANNA, given.task_id, given.fence, [LogLine(99, "x")])
    assert len((await again.work.logs(given.task_id)).lines) == 11
    await again.stop()


async def test_reports_are_written_in_batches(database: Database) -> None:
    queue = Queue(database, FakeClock(), flush_s=30.0)
    await queue.start()
    given = await queue.run()
    await queue.work.progress(ANNA, given.task_id, given.fence, 0.1)
    waiting = [
        asyncio.create_task(queue.work.progress(ANNA, given.task_id, given.fence, n / 100)) for n in range(50)
    ]
    await asyncio.sleep(0)
    assert (await queue.task(given.task_id)).progress == 0.1
    await queue.stop()
    assert all(task.done() for task in waiting) or await asyncio.wait(waiting)
    assert (await queue.work.get(given.task_id)).progress == 0.49
