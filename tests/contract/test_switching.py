"""The balancing strategy: switched for good, for every replica, on record; and its statistics."""

import asyncio

import pytest

from stellwerk.database.database import Database
from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import EventFilter, Retention
from stellwerk.work.balancing.catalogue import UnknownStrategy
from stellwerk.work.balancing.strategy import StrategyName
from stellwerk.work.requirements import Form
from stellwerk.work.seats import Seats
from stellwerk.work.switching import BalancerStatistics, Balancing
from stellwerk.work.task import Holder
from support.clock import FakeClock
from support.seating import seat, until
from support.work import ALICE, Queue


async def started(database: Database) -> Balancing:
    balancing = Balancing(database, Seats({"any": Form()}.get), FakeClock())
    await balancing.start()
    return balancing


async def test_a_switch_survives_a_restart(database: Database) -> None:
    first = await started(database)
    assert first.strategy is StrategyName.LEAST_CONNECTIONS
    assert await first.switch(ALICE, "Round_Robin") is StrategyName.ROUND_ROBIN
    assert first.strategy is StrategyName.ROUND_ROBIN
    await first.stop()
    second = await started(database)
    assert second.strategy is StrategyName.ROUND_ROBIN
    await second.stop()


async def test_a_switch_is_audited(queue: Queue) -> None:
    await queue.work.balancing.switch(ALICE, "predictive")
    await queue.work.balancing.switch(ALICE, "round_robin")
    page = await queue.journal.page(EventFilter(kinds=("balancer.*",)), limit=10)
    assert [(event.retention, event.principal, event.data) for event in page.events] == [
        (Retention.AUDIT, "key:alice", '{"old":null,"new":"predictive"}'),
        (Retention.AUDIT, "key:alice", '{"old":"predictive","new":"round_robin"}'),
    ]


@pytest.mark.parametrize("name", ["geographic", "", "round robin", "least_connections "])
async def test_an_unknown_strategy_is_refused_and_changes_nothing(queue: Queue, name: str) -> None:
    with pytest.raises(UnknownStrategy, match="Invalid strategy"):
        await queue.work.balancing.switch(ALICE, name)
    assert queue.work.balancing.strategy is StrategyName.LEAST_CONNECTIONS
    assert (await queue.journal.page(EventFilter(kinds=("balancer.*",)), limit=10)).events == ()


async def test_other_replicas_follow(database: Database) -> None:
    here, there = await started(database), await started(database)
    await here.switch(ALICE, "consistent_hash")

    async def follows() -> bool:
        return there.strategy is StrategyName.CONSISTENT_HASH

    await until(follows)
    await here.stop()
    await there.stop()


async def test_of_switches_at_once_everybody_ends_up_with_the_last_committed(database: Database) -> None:
    here, there = await started(database), await started(database)
    await asyncio.gather(*(one.switch(ALICE, name) for name in StrategyName for one in (here, there)))

    def stored() -> Unit[str]:
        rows = yield Sql("SELECT value FROM settings_kv WHERE name = 'work.strategy'")
        return str(rows[0][0])

    last = await database.read(stored)

    async def agree() -> bool:
        return {here.strategy, there.strategy} == {last}

    await until(agree)
    await here.stop()
    await there.stop()


async def test_a_strategy_of_a_newer_release_is_left_alone(database: Database) -> None:
    def write() -> Unit[None]:
        yield Sql("INSERT INTO settings_kv (name, value, updated_at) VALUES ('work.strategy', 'quantum', 1)")

    await database.write(write)
    balancing = await started(database)
    assert balancing.strategy is StrategyName.LEAST_CONNECTIONS
    await balancing.stop()


async def test_statistics_of_an_empty_server(queue: Queue) -> None:
    assert await queue.work.balancing.statistics() == BalancerStatistics(
        StrategyName.LEAST_CONNECTIONS, 0, 0, 0, 0.0, 0, 0, 0.0
    )


async def test_statistics_count_assignments_and_how_they_ended(queue: Queue) -> None:
    one, two = seat("a", capacity=9, weight=2.0), seat("b", capacity=0)
    await queue.work.connect(one)
    await queue.work.connect(two)
    for _ in range(4):
        await queue.submit(max_attempts=1)
    channel = one.channel
    await channel.receives(4)  # type: ignore[attr-defined]
    good, also_good, bad, _ = channel.delivered  # type: ignore[attr-defined]
    for assignment in (good, also_good):
        await queue.work.complete(Holder("a"), assignment.task_id, assignment.fence, "1")
    await queue.work.fail(Holder("a"), bad.task_id, bad.fence, '"no"', retryable=False)
    assert await queue.work.balancing.statistics() == BalancerStatistics(
        StrategyName.LEAST_CONNECTIONS, 4, 2, 1, 2 / 3, 2, 1, 0.5
    )
