"""The dispatcher on both engines: who gets what, when, and what happens if something fails in between."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.work.balancing.strategy import Roster, StrategyName
from stellwerk.work.choosing import Choice
from stellwerk.work.dispatch import QUEUE_LIMIT
from stellwerk.work.states import Reason, State
from stellwerk.work.task import Holder
from support.clock import FakeClock
from support.seating import RecordingChannel, seat, until
from support.work import LOCAL, Queue


class Watched:
    """A database that lets a test step in right after or instead of a commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.after: Callable[[], None] = lambda: None
        self.fail = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, unit: Any, **options: Any) -> Any:
        if self.fail:
            self.fail -= 1
            raise DatabaseUnavailable("asked for by the test", 1)
        answer = await self._database.write(unit, **options)
        self.after()
        return answer


@pytest.fixture
def watched(database: Database) -> Watched:
    return Watched(database)


@pytest.fixture
async def queue(watched: Watched) -> AsyncIterator[Queue]:
    queue = Queue(watched, FakeClock())  # type: ignore[arg-type]
    await queue.start()
    yield queue
    await queue.stop()


def channel_of(one: Any) -> RecordingChannel:
    channel: RecordingChannel = one.channel
    return channel


async def complete(queue: Queue, channel: RecordingChannel, task_id: str) -> None:
    assignment = next(one for one in channel.delivered if one.task_id == task_id)
    await queue.work.complete(assignment.holder, task_id, assignment.fence, "1")


async def test_a_task_is_delivered_to_a_connected_holder(queue: Queue) -> None:
    one = seat("a")
    await queue.work.connect(one)
    task_id = await queue.submit()
    assert await channel_of(one).receives(1) == [task_id]
    (assignment,) = channel_of(one).delivered
    assert (assignment.holder, assignment.attempt, assignment.task_data) == (Holder("a"), 1, '{"n":1}')
    assert await queue.standing(task_id) == (State.LEASED, None)


async def test_a_task_that_nobody_matches_waits_for_who_does(queue: Queue) -> None:
    wrong, right = seat("a", "y"), seat("b", "x")
    await queue.work.connect(wrong)
    task_id = await queue.submit(asks={"capabilities": ("x",)})
    other = await queue.submit()
    assert await channel_of(wrong).receives(1) == [other]
    assert await queue.standing(task_id) == (State.QUEUED, None)
    await queue.work.connect(right)
    assert await channel_of(right).receives(1) == [task_id]


async def test_tasks_that_waited_before_the_start_are_delivered(database: Database) -> None:
    before = Queue(database, FakeClock())
    await before.start()
    task_id = await before.submit(asks={"agent": "a"})
    await before.stop()
    queue = Queue(database, FakeClock())
    one = seat("a")
    await queue.start()
    await queue.work.connect(one)
    assert await channel_of(one).receives(1) == [task_id]
    await queue.stop()


async def test_a_holder_gets_no_more_than_its_capacity(queue: Queue) -> None:
    one = seat("a", capacity=2)
    await queue.work.connect(one)
    tasks = []
    for _ in range(5):
        queue.clock.advance(1)
        tasks.append(await queue.submit())
    channel = channel_of(one)
    assert await channel.receives(2) == tasks[:2]
    await complete(queue, channel, tasks[1])
    assert await channel.receives(3) == tasks[:3]
    await complete(queue, channel, tasks[0])
    assert await channel.receives(4) == tasks[:4]


async def test_with_very_many_queues_the_oldest_task_goes_first_and_none_starves(queue: Queue) -> None:
    queues = QUEUE_LIMIT + 20
    one = seat("a", *(f"c{number}" for number in range(queues)))
    tasks = []
    for number in range(queues):
        queue.clock.advance(1)
        tasks.append(await queue.submit(asks={"capabilities": (f"c{number}",)}))
    queue.clock.advance(1)
    last = {"capabilities": (f"c{queues - 1}",)}
    urgent = await queue.submit(asks=last, priority=40, priority_name="urgent")
    await queue.work.connect(one)
    channel = channel_of(one)
    for delivered, task_id in enumerate([urgent, *tasks], 1):
        assert (await channel.receives(delivered))[-1] == task_id
        await complete(queue, channel, task_id)


async def test_named_queues_of_many_agents_are_served_each_by_its_own(queue: Queue) -> None:
    seats = [seat(f"a{number}") for number in range(100)]
    tasks = await asyncio.gather(*(queue.submit(asks={"agent": f"a{number}"}) for number in range(100)))
    for one in seats:
        await queue.work.connect(one)
    received = [await channel_of(one).receives(1) for one in seats]
    assert received == [[task_id] for task_id in tasks]


async def test_a_holder_that_leaves_while_its_lease_is_committed_hands_it_back(
    queue: Queue, watched: Watched
) -> None:
    one = seat("a")
    await queue.work.connect(one)

    def leave() -> None:
        if queue.work.seats.figures().active:
            watched.after = lambda: None
            queue.work.disconnect(one)

    watched.after = leave
    task_id = await queue.submit()
    await until(lambda: is_handed_back(queue, task_id))
    assert channel_of(one).delivered == []
    another = seat("b")
    await queue.work.connect(another)
    assert await channel_of(another).receives(1) == [task_id]
    assert channel_of(another).delivered[0].attempt == 1


async def is_handed_back(queue: Queue, task_id: str) -> bool:
    return await queue.standing(task_id) == (State.QUEUED, Reason.HANDED_BACK)


async def test_a_holder_that_reconnects_while_its_lease_is_committed_gets_it(
    queue: Queue, watched: Watched
) -> None:
    one, again = seat("a"), seat("a")
    await queue.work.connect(one)

    def reconnect() -> None:
        if queue.work.seats.figures().active:
            watched.after = lambda: None
            queue.work.seats.connect(again)

    watched.after = reconnect
    task_id = await queue.submit()
    assert await channel_of(again).receives(1) == [task_id]
    assert channel_of(one).delivered == []


async def test_a_dead_channel_is_chosen_once_and_not_again(queue: Queue) -> None:
    dead, living = seat("a", channel=RecordingChannel(alive=False)), seat("b")
    await queue.work.connect(dead)
    tasks = [await queue.submit()]
    await until(lambda: is_handed_back(queue, tasks[0]))
    await queue.work.connect(living)
    assert await channel_of(living).receives(1) == tasks
    assert queue.work.seats.get(Holder("a")) is None


async def test_a_database_that_refuses_delays_the_delivery_only(queue: Queue, watched: Watched) -> None:
    task_id = await queue.submit()
    watched.fail = 3
    one = seat("a")
    queue.work.seats.connect(one)
    assert await channel_of(one).receives(1) == [task_id]
    assert queue.work.seats.held(Holder("a")) == {task_id: 1}


@pytest.fixture
def units(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The queues that each lease unit looked at."""
    looked_at: list[tuple[str, ...]] = []
    borrow = queue.work.seats.borrow

    def watch(rosters: Mapping[str, Roster]) -> Choice:
        looked_at.append(tuple(rosters))
        return borrow(rosters)

    monkeypatch.setattr(queue.work.seats, "borrow", watch)
    return looked_at


async def test_there_are_no_lease_units_while_there_is_nothing_to_lease(
    queue: Queue, units: list[tuple[str, ...]]
) -> None:
    for number in range(20):
        queue.work.seats.connect(seat(f"a{number}"))
    for _ in range(20):
        await queue.submit(asks={"capabilities": ("x",)})
        queue.work.seats.report(Holder("a1"), {"cpu_usage": 0.1})
        await asyncio.sleep(0.002)
    assert units == []


async def test_a_head_past_its_deadline_neither_runs_nor_makes_the_loop_spin(
    queue: Queue, units: list[tuple[str, ...]]
) -> None:
    late = await queue.submit(deadline_at=queue.clock.now_us() + 1_000_000)
    queue.clock.advance(2)
    task_id = await queue.submit()
    one = seat("a", capacity=5)
    queue.work.seats.connect(one)
    assert await channel_of(one).receives(1) == [task_id]
    await asyncio.sleep(0.05)
    assert len(units) <= 2
    await queue.work.sweeper.sweep()
    assert await queue.standing(late) == (State.FAILED, Reason.EXPIRED)


async def test_stop_delivers_what_was_leased(queue: Queue) -> None:
    one = seat("a", capacity=100)
    await queue.work.connect(one)
    tasks = await asyncio.gather(*(queue.submit() for _ in range(50)))
    await queue.work.stop()
    states = [(await queue.task(task_id)).state for task_id in tasks]
    leased = {task_id for task_id, state in zip(tasks, states, strict=True) if state is State.LEASED}
    assert leased == set(channel_of(one).tasks)


async def test_switching_under_load_delivers_every_task_once_within_capacity(queue: Queue) -> None:
    """Holders come and go, strategies change, tasks complete: the books stay right."""
    seats = [seat(f"a{number}", "x", capacity=3, weight=float(number % 3 + 1)) for number in range(12)]
    completed: Counter[str] = Counter()

    async def work(number: int) -> None:
        channel = channel_of(seats[number])
        done = 0
        while True:
            await channel.receives(done + 1)
            assert len(channel.delivered) - done <= 3
            assignment = channel.delivered[done]
            await queue.work.complete(assignment.holder, assignment.task_id, assignment.fence, "1")
            completed[assignment.task_id] += 1
            done += 1

    for one in seats:
        await queue.work.connect(one)
    workers = [asyncio.create_task(work(number)) for number in range(len(seats))]
    tasks: list[str] = []
    for name in StrategyName:
        tasks += await asyncio.gather(*(queue.submit(asks={"capabilities": ("x",)}) for _ in range(40)))
        await queue.work.balancing.switch(LOCAL, name)
        tasks += await asyncio.gather(*(queue.submit(preferred=("x",)) for _ in range(40)))

    async def all_done() -> bool:
        return sum(completed.values()) >= len(tasks)

    await until(all_done)
    for worker in workers:
        worker.cancel()
    assert completed == dict.fromkeys(tasks, 1)
    assert queue.work.seats.figures().active == 0


async def test_a_claim_and_the_dispatcher_never_give_the_same_task(queue: Queue) -> None:
    one = seat("a", capacity=100)
    await queue.work.connect(one)
    claims = [
        asyncio.create_task(queue.work.claim(Holder("c", str(n)), one.attributes, 1, 0.2)) for n in range(20)
    ]
    tasks = await asyncio.gather(*(queue.submit() for _ in range(60)))
    claimed = [assignment.task_id for claim in claims for assignment in await claim]
    delivered = await channel_of(one).receives(60 - len(claimed))
    assert sorted([*claimed, *delivered]) == sorted(tasks)
