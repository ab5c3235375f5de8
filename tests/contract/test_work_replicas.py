"""Replicas over one PostgreSQL: what happens at one is soon known at the others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from stellwerk.database.database import open_database
from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import EventFilter, Recorded
from stellwerk.settings import DatabaseSettings
from stellwerk.trust.principal import LOCAL
from stellwerk.work import replicas
from stellwerk.work.cancelling import requeue_task
from stellwerk.work.leasing import LeasedHeads
from stellwerk.work.seats import Seat
from stellwerk.work.states import State
from stellwerk.work.store import load_live
from stellwerk.work.task import Assignment
from support.clock import FakeClock
from support.work import ANNA, ANYTHING, BERT, Queue, until

pytestmark = pytest.mark.postgres


class Line:
    """A connected holder that writes down what it is told."""

    alive = True

    def __init__(self) -> None:
        self.got: list[Assignment] = []
        self.stops: list[tuple[str, int]] = []

    def deliver(self, assignments: Sequence[Assignment]) -> None:
        self.got += assignments

    def cancel(self, task_id: str, fence: int, reason: str) -> None:
        self.stops.append((task_id, fence))


@pytest.fixture
def rare_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let replicas look after hints only, from their start on."""
    monkeypatch.setattr(replicas, "_POLL_S", 3_600.0)


@pytest.fixture
async def pair(postgres_url: str, tmp_path: Path) -> AsyncIterator[tuple[Queue, Queue]]:
    """Two replicas on the same clock."""
    clock = FakeClock()
    databases = [
        await open_database(postgres_url, data_dir=tmp_path, settings=DatabaseSettings(pool_size=4))
        for _ in range(2)
    ]
    here, there = (Queue(database, clock) for database in databases)
    for queue in (here, there):
        await queue.start()
    yield here, there
    for queue in (here, there):
        await queue.stop()
    for database in databases:
        await database.close()


async def test_a_claim_that_waits_at_one_gets_what_another_took_in(pair: tuple[Queue, Queue]) -> None:
    here, there = pair
    claim = asyncio.create_task(there.work.claim(ANNA, ANYTHING, 1, 30))
    await until(lambda: there.work.waiting_claims() == 1)
    task_id = await here.submit(asks={"agent_type": "worker"})
    (given,) = await asyncio.wait_for(claim, 10)
    assert given.task_id == task_id


async def test_a_connected_holder_is_handed_what_another_replica_took_in(pair: tuple[Queue, Queue]) -> None:
    here, there = pair
    line = Line()
    await there.work.connect(Seat(ANNA, ANYTHING, 1, line))
    task_id = await here.submit()
    await until(lambda: bool(line.got))
    assert [one.task_id for one in line.got] == [task_id]


async def test_who_waits_for_a_result_at_one_hears_of_an_end_at_another(pair: tuple[Queue, Queue]) -> None:
    here, there = pair
    given = await here.run()
    waiting = asyncio.create_task(there.work.result(given.task_id, 30))
    await until(lambda: there.work._outcomes.awaits(given.task_id))
    await here.work.complete(ANNA, given.task_id, given.fence, '"done"')
    outcome = await asyncio.wait_for(waiting, 10)
    assert (outcome.state, outcome.result) == (State.SUCCEEDED, '"done"')


async def test_a_cancellation_reaches_the_replica_where_the_holder_is_connected(
    pair: tuple[Queue, Queue],
) -> None:
    here, there = pair
    line = Line()
    await there.work.connect(Seat(BERT, ANYTHING, 1, line))
    task_id = await there.submit()
    await until(lambda: bool(line.got))
    await here.work.cancel(LOCAL, task_id)
    await until(lambda: bool(line.stops))
    assert line.stops[0] == (task_id, line.got[0].fence)


async def test_a_result_said_at_two_replicas_at_once_is_taken_once(pair: tuple[Queue, Queue]) -> None:
    here, there = pair
    for _ in range(10):
        given = await here.run()
        answers = await asyncio.gather(
            *(queue.work.complete(ANNA, given.task_id, given.fence, '"same"') for queue in pair)
        )
        assert sorted(answer.duplicate for answer in answers) == [False, True]
    assert (await there.work.stats()).completed == 10


async def test_one_replica_sweeps_for_all(pair: tuple[Queue, Queue]) -> None:
    sweepers = [queue.work.sweeper for queue in pair]
    assert sorted([await sweeper._is_ours() for sweeper in sweepers]) == [False, True]
    ours = next(sweeper for sweeper in sweepers if sweeper._lock.fence is not None)
    await ours.stop()
    (other,) = [sweeper for sweeper in sweepers if sweeper is not ours]
    assert await other._is_ours()


async def test_events_of_a_task_are_in_their_order_although_transactions_overlapped(
    pair: tuple[Queue, Queue], postgres_url: str
) -> None:
    here, there = pair
    other, task_id = await here.submit(), await here.submit()

    def overlapping() -> Unit[None]:
        yield from load_live([other])  # From here on the transaction has its number …
        yield Sql("SELECT pg_advisory_xact_lock(1)")
        yield from requeue_task(LOCAL, task_id, here.clock.now_us())  # … and only now the lock on the task.

    stream = there.journal.subscribe(EventFilter(task=task_id))
    await stream.start()
    gate = await asyncpg.connect(postgres_url)
    await gate.execute("SELECT pg_advisory_lock(1)")
    first = asyncio.create_task(here.database.write(overlapping))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(10):
        while not await gate.fetchval(waiting):  # noqa: ASYNC110 (PostgreSQL tells nobody)
            await asyncio.sleep(0.01)
    await there.work.cancel(LOCAL, task_id)
    await gate.execute("SELECT pg_advisory_unlock(1)")
    await first
    await gate.close()
    happened = ["task.submitted", "task.cancelled", "task.requeued"]
    assert await here.kinds(task_id) == happened
    async with asyncio.timeout(10):
        told = [await anext(stream) for _ in range(2)]
    assert [event.kind for event in told if isinstance(event, Recorded)] == happened[1:]
    stream.close()


async def test_a_task_passed_by_while_another_replica_looked_at_it_is_looked_at_again_at_once(
    rare_polls: None, pair: tuple[Queue, Queue], postgres_url: str
) -> None:
    _, there = pair
    task_id = await there.submit()
    other = await asyncpg.connect(postgres_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("select 1 from tasks where task_id = $1 for update", task_id)
    line, looked = Line(), asyncio.Event()
    lease = there.work._dispatcher._lease

    def watched(*given: Any, **more: Any) -> Unit[LeasedHeads]:
        found = yield from lease(*given, **more)
        looked.set()
        return found

    there.work._dispatcher._lease = watched
    there.work.seats.connect(Seat(ANNA, ANYTHING, 1, line))
    async with asyncio.timeout(10):
        await looked.wait()
    assert line.got == []
    await transaction.rollback()
    await other.close()
    # No sweep and no poll will come: both are an hour away.
    await until(lambda: bool(line.got))


async def test_who_sends_a_hint_does_not_look_itself(pair: tuple[Queue, Queue]) -> None:
    here, there = pair
    looks: list[Queue] = []
    for queue in pair:
        queue.database.listen(replicas.READY, lambda queue=queue: looks.append(queue))
    await asyncio.sleep(0.2)
    looks.clear()
    await here.submit()
    await until(lambda: bool(looks))
    assert looks == [there]
