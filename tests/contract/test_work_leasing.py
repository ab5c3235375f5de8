"""Giving out: to whom it matches, oldest rank first, never to two."""

import asyncio
from collections import Counter

import pytest

from stellwerk.database.database import Database, open_database
from stellwerk.settings import DatabaseSettings, WorkSettings
from stellwerk.trust.principal import LOCAL
from stellwerk.work.lease import terms_of
from stellwerk.work.leasing import Beginning, lease_heads, waiting_queues
from stellwerk.work.matching import Attributes
from stellwerk.work.states import State
from stellwerk.work.task import Holder, Waiting
from support.clock import FakeClock
from support.work import ANNA, ANYTHING, BERT, Queue, submission

ABLE = Attributes(kind="worker", capabilities=frozenset({"x", "y"}))
STEP_S = 300


async def test_an_assignment_has_what_its_holder_needs(queue: Queue) -> None:
    done = await queue.work.submit(
        LOCAL,
        submission(task_data='{"a": 1}', task_type="t", priority=20, priority_name="High", timeout_us=7),
    )
    given = await queue.take()
    assert (given.task_id, given.attempt, given.fence, given.holder) == (done.task_id, 1, 1, ANNA)
    assert (given.task_data, given.task_type, given.priority_name, given.timeout_us) == (
        '{"a": 1}',
        "t",
        "High",
        7,
    )
    assert given.lease_expires_at == queue.clock.now_us() + 10_000_000
    assert await queue.work.held(ANNA) == [given]
    task = await queue.task(given.task_id)
    assert (task.state, task.holder_group, task.holder_instance) == (State.LEASED, "anna", "one")
    assert task.leased_at == queue.clock.now_us()


async def test_a_leased_task_is_given_to_nobody_else(queue: Queue) -> None:
    await queue.submit()
    assert len(await queue.lease(ANNA)) == 1
    assert await queue.lease(BERT) == []


async def test_what_nobody_matches_waits_until_somebody_does(queue: Queue) -> None:
    task_id = await queue.submit(asks={"capabilities": ("x",)})
    assert await queue.lease(ANNA, ANYTHING, 10) == []
    await queue.pass_time(86_400)
    assert (await queue.take(BERT, ABLE)).task_id == task_id


@pytest.mark.parametrize(
    ("asks", "offer", "fits"),
    [
        ({"agent_type": "worker"}, Attributes(kind="worker"), True),
        ({"agent_type": "worker"}, Attributes(kind="provider"), False),
        ({"services": ("s",)}, Attributes(services=frozenset({"s", "t"})), True),
        ({"services": ("s", "u")}, Attributes(services=frozenset({"s", "t"})), False),
        ({"labels": {"zone": "a"}}, Attributes(labels=frozenset({("zone", "a")})), True),
        ({"labels": {"zone": "a"}}, Attributes(labels=frozenset({("zone", "b")})), False),
        ({"min_health_score": 0.5}, Attributes(health=0.5), True),
        ({"min_health_score": 0.5}, Attributes(health=0.4), False),
        ({"agent": "anna"}, Attributes(), True),
        ({"agent": "bert"}, Attributes(), False),
        ({"agent": "anna", "capabilities": ("x",)}, Attributes(), False),
    ],
)
async def test_only_who_matches_gets_it(
    queue: Queue, asks: dict[str, object], offer: Attributes, fits: bool
) -> None:
    await queue.submit(asks=asks)
    assert len(await queue.lease(ANNA, offer)) == int(fits)


async def test_higher_priorities_go_first_and_equals_in_order(queue: Queue) -> None:
    expected = []
    for priority in (40, 30, 20, 10, 0):
        for _ in range(2):
            expected.append((priority, await queue.submit(priority=priority, asks={"agent_type": "worker"})))
            queue.clock.advance(1)
    got = [(one.priority, one.task_id) for one in await queue.lease(ANNA, ANYTHING, 10)]
    assert got == expected


async def test_a_task_overtakes_the_next_class_after_waiting_one_step(queue: Queue) -> None:
    low = await queue.submit(priority=0)
    queue.clock.advance(STEP_S - 1)
    first = await queue.submit(priority=10)
    queue.clock.advance(2)
    late = await queue.submit(priority=10)
    assert [one.task_id for one in await queue.lease(ANNA, limit=3)] == [first, low, late]


async def test_rank_decides_over_all_queues_that_match(queue: Queue) -> None:
    expected = []
    forms: list[dict[str, object] | None] = [None, {"capabilities": ("x",)}, {"agent": "anna"}]
    for n in range(30):
        expected.append(await queue.submit(asks=forms[n % 3]))
        queue.clock.advance(1)
    assert [one.task_id for one in await queue.lease(ANNA, ABLE, 30)] == expected


async def test_one_claim_takes_no_more_than_its_limit(queue: Queue) -> None:
    for _ in range(7):
        await queue.submit()
    assert [len(await queue.lease(ANNA, limit=3)) for _ in range(4)] == [3, 3, 1, 0]


async def test_an_overdue_task_is_not_begun(queue: Queue) -> None:
    overdue = await queue.submit(deadline_at=queue.clock.now_us() + 5_000_000)
    good = await queue.submit()
    queue.clock.advance(6)
    assert [one.task_id for one in await queue.lease(ANNA, limit=5)] == [good]
    await queue.pass_time(0)
    assert await queue.standing(overdue) == (State.FAILED, "expired")


async def test_a_queue_is_left_when_nobody_is_chosen(queue: Queue) -> None:
    await queue.submit(asks={"capabilities": ("x",)})
    for _ in range(3):
        await queue.submit()
    seen: list[Waiting] = []

    def choose(waiting: Waiting) -> Holder | None:
        seen.append(waiting)
        return ANNA if waiting.form_id == "any" else None

    queues = [key for key, _ in await queue.database.read(waiting_queues)]
    found = await queue.database.write(
        lambda: lease_heads(queues, 10, choose, now_us=queue.clock.now_us(), ack_deadline_us=1)
    )
    assert len(found.assignments) == 3
    assert len(seen) == 4
    assert found.drained == ["any"]


async def test_the_waiting_queues_are_listed_with_the_rank_of_their_heads(queue: Queue) -> None:
    now = queue.clock.now_us()
    await queue.submit(priority=0)
    queue.clock.advance(1)
    await queue.submit(priority=0)
    await queue.submit(priority=0, asks={"agent": "anna"})
    await queue.submit(asks={"agent": "bert"}, delay_us=1_000_000)
    listed = sorted(await queue.database.read(waiting_queues))
    assert listed == [("any", now), ("any@anna", now + 1_000_000)]


async def test_claimers_at_once_never_get_the_same_task(queue: Queue) -> None:
    await asyncio.gather(*(queue.submit() for _ in range(200)))

    async def claimer(number: int) -> list[str]:
        mine: list[str] = []
        while got := await queue.lease(Holder(f"a{number}"), limit=3):
            mine += [one.task_id for one in got]
        return mine

    taken = [task_id for mine in await asyncio.gather(*(claimer(n) for n in range(16))) for task_id in mine]
    assert Counter(taken).most_common(1)[0][1] == 1
    assert len(taken) == 200


@pytest.mark.postgres
async def test_replicas_never_give_out_the_same_task(postgres_url: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    clock = FakeClock()
    databases: list[Database] = [
        await open_database(postgres_url, data_dir=tmp_path, settings=DatabaseSettings(pool_size=4))
        for _ in range(3)
    ]
    queues = [Queue(database, clock) for database in databases]
    for queue in queues:
        await queue.start()
    await asyncio.gather(*(queues[0].submit() for _ in range(300)))
    taken: list[str] = []

    async def claimer(queue: Queue, number: int) -> None:
        empty = 0
        while empty < 3:
            await queue.work._following.look_for_ready(False)
            got = await queue.lease(Holder(f"a{number}"), limit=5)
            empty = 0 if got else empty + 1
            taken.extend(one.task_id for one in got)

    await asyncio.gather(*(claimer(queue, n) for n, queue in enumerate(queues * 4)))
    assert len(taken) == len(set(taken)) == 300
    for queue in queues:
        await queue.stop()
    for database in databases:
        await database.close()


async def test_distribution_is_counted(queue: Queue) -> None:
    await queue.submit()
    queue.clock.advance(2)
    await queue.submit(priority=20)
    queue.clock.advance(1)
    await queue.lease(ANNA, limit=2)
    stats = await queue.work.stats()
    assert (stats.distributed, stats.distribution_us, stats.active) == (2, 4_000_000, 2)
    assert stats.queue_sizes == {"urgent": 0, "critical": 0, "high": 0, "normal": 0, "low": 0}


async def test_a_task_of_who_will_not_say_so_has_begun_with_its_lease(queue: Queue) -> None:
    once = await queue.submit(repeatable=False, asks={"agent": "anna"}, timeout_us=5_000_000)
    other = await queue.submit(asks={"agent": "bert"})
    now_us = queue.clock.now_us()
    beginning = Beginning(lambda holder: holder == ANNA, terms_of(WorkSettings()))

    def choose(waiting: Waiting) -> Holder:
        return ANNA if waiting.target_group == "anna" else BERT

    queues = [key for key, _ in await queue.database.read(waiting_queues)]
    found = await queue.database.write(
        lambda: lease_heads(queues, 10, choose, now_us=now_us, ack_deadline_us=1, beginning=beginning)
    )
    given = {one.task_id: (one.state, one.lease_expires_at) for one in found.assignments}
    assert given == {once: (State.RUNNING, now_us + 5_000_000), other: (State.LEASED, now_us + 1)}
    task = await queue.task(once)
    assert (task.state, task.started_at, task.attempt) == (State.RUNNING, now_us, 1)
    assert (await queue.task(other)).started_at is None
    counted = await queue.database.counters("state.")
    assert (counted["state.queued"], counted["state.leased"], counted["state.running"]) == (0, 1, 1)
    # It never got there, so it has not begun, although it may run only once.
    await queue.work.hand_back_all(found.assignments)
    assert (await queue.task(once)).state is State.QUEUED
