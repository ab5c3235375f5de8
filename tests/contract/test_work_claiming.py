"""Claims that wait, and waiting for results."""

import asyncio
from typing import Any

import pytest

from stellwerk.trust.principal import LOCAL
from stellwerk.work.matching import Attributes
from stellwerk.work.refusals import UnknownTask
from stellwerk.work.states import State
from stellwerk.work.task import Assignment, Holder
from support.work import ANNA, ANYTHING, Queue, until

ABLE = Attributes(kind="worker", capabilities=frozenset({"x"}))
LONG_S = 30.0


class Waits:
    """Claims that wait, and the order in which they are served."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.served: list[str] = []
        self.tasks: list[asyncio.Task[list[Assignment]]] = []

    async def claim(self, name: str, offer: Attributes = ANYTHING, limit: int = 1) -> asyncio.Task[Any]:
        async def wait() -> list[Assignment]:
            got = await self.queue.work.claim(Holder(name), offer, limit, LONG_S)
            self.served.append(name)
            return got

        before = self.queue.work.waiting_claims()
        task = asyncio.create_task(wait())
        self.tasks.append(task)
        await until(lambda: self.queue.work.waiting_claims() > before)
        return task


async def test_a_claim_that_does_not_wait_answers_at_once(queue: Queue) -> None:
    assert await queue.work.claim(ANNA, ANYTHING, 1, 0) == []


async def test_a_waiting_claim_gets_the_task_when_it_comes(queue: Queue) -> None:
    claim = await Waits(queue).claim("anna")
    task_id = await queue.submit()
    (given,) = await asyncio.wait_for(claim, 5)
    assert given.task_id == task_id


async def test_a_waiting_claim_ends_empty_after_its_time(queue: Queue) -> None:
    assert await queue.work.claim(ANNA, ANYTHING, 1, 0.02) == []
    assert queue.work.waiting_claims() == 0


async def test_claims_are_served_in_the_order_in_which_they_came(queue: Queue) -> None:
    waits = Waits(queue)
    for n in range(5):
        await waits.claim(f"a{n}")
    for task in waits.tasks:
        await queue.submit()
        await asyncio.wait_for(task, 5)
    assert waits.served == [f"a{n}" for n in range(5)]


async def test_one_task_wakes_one_claimer(queue: Queue) -> None:
    asked: list[str] = []
    claimers = queue.work._claimers
    lease = claimers._lease

    async def counted(holder: Holder, *rest: Any) -> list[Assignment]:
        asked.append(holder.group)
        return await lease(holder, *rest)

    claimers._lease = counted  # type: ignore[method-assign]
    waits = Waits(queue)
    for n in range(20):
        await waits.claim(f"a{n}")
    await queue.submit()
    await asyncio.wait_for(waits.tasks[0], 5)
    # On PostgreSQL the replica's own hint, or its poll, may come meanwhile: each wakes one more, for nothing.
    looks = 0 if queue.database.engine == "sqlite" else 3
    assert asked[0] == "a0"
    assert len(asked) <= 1 + looks
    for task in waits.tasks:
        task.cancel()


async def test_only_those_who_match_are_woken(queue: Queue) -> None:
    waits = Waits(queue)
    await waits.claim("plain")
    able = await waits.claim("able", ABLE)
    await queue.submit(asks={"capabilities": ("x",)})
    await asyncio.wait_for(able, 5)
    assert waits.served == ["able"]
    waits.tasks[0].cancel()


async def test_a_task_for_a_named_agent_wakes_that_agent(queue: Queue) -> None:
    waits = Waits(queue)
    await waits.claim("anna")
    bert = await waits.claim("bert")
    await queue.submit(asks={"agent": "bert"})
    await asyncio.wait_for(bert, 5)
    assert waits.served == ["bert"]
    waits.tasks[0].cancel()


async def test_a_burst_of_tasks_reaches_everybody_who_waits(queue: Queue) -> None:
    waits = Waits(queue)
    for n in range(30):
        await waits.claim(f"a{n}", ABLE if n % 2 else ANYTHING)
    await asyncio.gather(*(queue.submit() for _ in range(30)))
    got = await asyncio.wait_for(asyncio.gather(*waits.tasks), 10)
    assert len({one.task_id for assignments in got for one in assignments}) == 30


async def test_a_claimer_that_leaves_passes_its_wake_on(queue: Queue) -> None:
    waits = Waits(queue)
    first = await waits.claim("first")
    second = await waits.claim("second")
    submitting = asyncio.create_task(queue.submit())
    await until(lambda: queue.work.waiting_claims() == 1)
    first.cancel()
    await submitting
    (given,) = await asyncio.wait_for(second, 5)
    assert given.holder.group == "second"


async def test_tasks_leased_for_a_caller_who_went_away_are_handed_back(queue: Queue) -> None:
    claimers = queue.work._claimers
    lease = claimers._lease
    leased, go = asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> list[Assignment]:
        got = await lease(*args)
        leased.set()
        await go.wait()
        return got

    claimers._lease = slow  # type: ignore[method-assign]
    task_id = await queue.submit()
    claim = asyncio.create_task(queue.work.claim(ANNA, ANYTHING, 1, LONG_S))
    await leased.wait()
    claim.cancel()
    await asyncio.wait([claim])
    go.set()
    claimers._lease = lease  # type: ignore[method-assign]
    (given,) = await asyncio.wait_for(queue.work.claim(Holder("bert"), ANYTHING, 1, LONG_S), 5)
    assert (given.task_id, given.attempt) == (task_id, 1)


async def test_a_retried_task_wakes_a_claimer_when_it_is_due(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.fail(ANNA, given.task_id, given.fence, '"e"')
    claim = await Waits(queue).claim("bert")
    await queue.pass_time(1)
    assert [one.attempt for one in await asyncio.wait_for(claim, 5)] == [2]


# Results


async def test_waiting_for_a_result_ends_with_the_task(queue: Queue) -> None:
    given = await queue.run()
    waiting = [asyncio.create_task(queue.work.result(given.task_id, LONG_S)) for _ in range(3)]
    await until(lambda: queue.work._outcomes.awaits(given.task_id))
    await queue.work.complete(ANNA, given.task_id, given.fence, '{"a":1}')
    for outcome in await asyncio.wait_for(asyncio.gather(*waiting), 5):
        assert (outcome.state, outcome.result, outcome.finished) == (State.SUCCEEDED, '{"a":1}', True)


async def test_waiting_ends_with_a_failure_or_a_cancellation_too(queue: Queue) -> None:
    given = await queue.run(max_attempts=1)
    other = await queue.submit()
    waiting = asyncio.gather(queue.work.result(given.task_id, LONG_S), queue.work.result(other, LONG_S))
    await until(lambda: queue.work._outcomes.awaits(given.task_id) and queue.work._outcomes.awaits(other))
    await queue.work.fail(ANNA, given.task_id, given.fence, '"e"')
    await queue.work.cancel(LOCAL, other)
    dead, cancelled = await asyncio.wait_for(waiting, 5)
    assert (dead.state, dead.error, cancelled.state) == (State.DEAD, '"e"', State.CANCELLED)


async def test_an_unfinished_task_is_shown_as_it_stands_after_the_time(queue: Queue) -> None:
    task_id = await queue.submit()
    outcome = await queue.work.result(task_id, 0.02)
    assert (outcome.state, outcome.finished) == (State.QUEUED, False)
    assert not queue.work._outcomes.awaits(task_id)


async def test_an_ended_task_answers_at_once(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.complete(ANNA, given.task_id, given.fence, "1")
    assert (await queue.work.result(given.task_id, LONG_S)).result == "1"
    with pytest.raises(UnknownTask):
        await queue.work.result("nothing", LONG_S)
