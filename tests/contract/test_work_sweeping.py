"""What happens because time passes: lost holders, deadlines, time limits, retention."""

import asyncio

import pytest

from stellwerk.database.database import Database
from stellwerk.trust.principal import LOCAL
from stellwerk.work.refusals import ConflictingResult, LeaseLost, UnknownTask
from stellwerk.work.states import State
from stellwerk.work.task import Holder
from support.clock import FakeClock
from support.seating import seat
from support.work import ANNA, BERT, Queue, submission

DAY_S = 86_400


async def test_an_unacknowledged_task_is_given_to_the_next_without_counting_an_attempt(queue: Queue) -> None:
    await queue.submit(max_attempts=1)
    first = await queue.take()
    await queue.pass_time(9)
    assert await queue.lease(BERT) == []
    await queue.pass_time(2)
    assert await queue.standing(first.task_id) == (State.QUEUED, "unacknowledged")
    second = await queue.take(BERT)
    assert (second.attempt, second.fence) == (1, 2)


async def test_an_expired_lease_of_a_repeatable_task_is_given_to_the_next_worker(queue: Queue) -> None:
    first = await queue.run()
    await queue.pass_time(91)
    assert await queue.standing(first.task_id) == (State.QUEUED, "lost")
    assert await queue.lease(BERT) == []
    await queue.pass_time(1)
    second = await queue.take(BERT)
    assert (second.task_id, second.attempt) == (first.task_id, 2)


async def test_a_repeatable_task_is_dead_when_its_last_holder_is_lost(queue: Queue) -> None:
    given = await queue.run(max_attempts=1)
    await queue.pass_time(91)
    assert await queue.standing(given.task_id) == (State.DEAD, "lost")
    assert (await queue.kinds(given.task_id))[-1] == "task.dead"


async def test_a_task_that_may_run_only_once_is_never_given_out_again_after_it_began(queue: Queue) -> None:
    given = await queue.run(repeatable=False)
    await queue.pass_time(91)
    assert await queue.standing(given.task_id) == (State.FAILED, "lost")
    for _ in range(3):
        await queue.pass_time(1_000)
        assert await queue.lease(BERT) == []


async def test_a_task_that_may_run_only_once_is_given_to_the_next_before_it_began(queue: Queue) -> None:
    await queue.submit(repeatable=False)
    first = await queue.take()
    await queue.pass_time(11)
    assert (await queue.take(BERT)).task_id == first.task_id


@pytest.mark.parametrize("fields", [{"repeatable": False}, {"max_attempts": 1}, {}])
async def test_a_late_result_corrects_a_lost_task_that_nobody_else_got(
    queue: Queue, fields: dict[str, object]
) -> None:
    given = await queue.run(**fields)
    await queue.pass_time(91)
    before = await queue.work.stats()
    settled = await queue.work.complete(ANNA, given.task_id, given.fence, '"late"')
    assert settled.state is State.SUCCEEDED
    task = await queue.task(given.task_id)
    assert (task.result, task.reason, task.attempt) == ('"late"', None, 1)
    await queue.pass_time(1_000)
    assert await queue.lease(BERT) == []
    after = await queue.work.stats()
    assert (after.failed, after.completed) == (0, before.completed + 1)
    assert (after.assigned_failed, after.assigned_ok) == (0, 1)
    assert after.states == {**{state.value: 0 for state in State}, "succeeded": 1}


async def test_a_late_result_corrects_an_unacknowledged_task(queue: Queue) -> None:
    await queue.submit()
    given = await queue.take()
    await queue.pass_time(11)
    assert (await queue.work.complete(ANNA, given.task_id, given.fence, "1")).state is State.SUCCEEDED
    assert (await queue.task(given.task_id)).attempt == 1
    assert await queue.lease(BERT) == []


async def test_a_late_failure_of_a_lost_task_is_refused(queue: Queue) -> None:
    given = await queue.run(repeatable=False)
    await queue.pass_time(91)
    with pytest.raises(LeaseLost):
        await queue.work.fail(ANNA, given.task_id, given.fence, '"late"')
    assert await queue.standing(given.task_id) == (State.FAILED, "lost")


async def test_a_heartbeat_keeps_running_leases_and_no_delivered_ones(queue: Queue) -> None:
    running = await queue.run()
    await queue.submit()
    delivered = await queue.take()
    for _ in range(5):
        queue.clock.advance(60)
        await queue.work.heartbeat(ANNA)
        await queue.work._signs.finish()
        await queue.work.sweeper.sweep()
    assert await queue.standing(running.task_id) == (State.RUNNING, None)
    assert await queue.standing(delivered.task_id) == (State.QUEUED, "unacknowledged")


async def test_a_heartbeat_of_another_holder_keeps_nothing(queue: Queue) -> None:
    given = await queue.run()
    queue.clock.advance(60)
    await queue.work.heartbeat(Holder("anna", "two"))
    await queue.work.heartbeat(BERT)
    await queue.work._signs.finish()
    await queue.pass_time(31)
    assert await queue.standing(given.task_id) == (State.QUEUED, "lost")


async def test_a_broken_connection_shortens_leases_to_the_grace(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.shorten([ANNA])
    await queue.pass_time(14)
    assert await queue.standing(given.task_id) == (State.RUNNING, None)
    await queue.pass_time(2)
    assert await queue.standing(given.task_id) == (State.QUEUED, "lost")


async def test_what_was_under_way_when_the_connection_broke_keeps_no_lease_beyond_the_grace(
    queue: Queue,
) -> None:
    given = await queue.run()
    queue.clock.advance(40)
    one = seat("anna", instance="one")
    await queue.work.connect(one)
    queue.work.disconnect(one)
    await queue.work.progress(ANNA, given.task_id, given.fence, 0.5, None)  # Renews, behind the shortening.
    await asyncio.sleep(0.6)
    await queue.pass_time(16)
    assert await queue.standing(given.task_id) == (State.QUEUED, "lost")


async def test_an_attempt_that_runs_too_long_is_asked_to_stop_although_it_is_alive(queue: Queue) -> None:
    given = await queue.run(timeout_us=100_000_000)
    for _ in range(3):
        queue.clock.advance(32)
        await queue.work.heartbeat(ANNA)
        await queue.work._signs.finish()
        await queue.work.sweeper.sweep()
    assert await queue.standing(given.task_id) == (State.RUNNING, None)
    await queue.pass_time(5)
    assert await queue.standing(given.task_id) == (State.CANCELLING, "timed_out")
    settled = await queue.work.confirm_cancelled(ANNA, given.task_id, given.fence)
    assert (settled.state, settled.reason) == (State.FAILED, "timed_out")


async def test_a_deadline_ends_waiting_tasks_and_stops_running_ones(queue: Queue) -> None:
    deadline = queue.clock.now_us() + 60_000_000
    running = await queue.run(deadline_at=deadline)
    waiting = await queue.submit(deadline_at=deadline)
    later = await queue.submit(deadline_at=deadline, delay_us=120_000_000)
    await queue.pass_time(61)
    assert await queue.standing(waiting) == (State.FAILED, "expired")
    assert await queue.standing(later) == (State.FAILED, "expired")
    assert await queue.standing(running.task_id) == (State.CANCELLING, "timed_out")
    await queue.pass_time(91)
    assert await queue.standing(running.task_id) == (State.FAILED, "timed_out")
    with pytest.raises(ConflictingResult):
        await queue.work.complete(ANNA, running.task_id, running.fence, "1")
    await queue.pass_time(200)
    assert await queue.lease() == []


async def test_a_deadline_that_passed_does_not_stop_a_requeued_task(queue: Queue) -> None:
    task_id = await queue.submit(deadline_at=queue.clock.now_us() + 1_000_000)
    await queue.pass_time(2)
    await queue.work.requeue(LOCAL, task_id)
    await queue.pass_time(2)
    assert (await queue.take()).task_id == task_id


async def test_many_expired_leases_are_handled_in_steps(queue: Queue) -> None:
    await asyncio.gather(*(queue.submit() for _ in range(450)))
    await queue.lease(ANNA, limit=450)
    await queue.pass_time(11)
    assert len(await queue.lease(BERT, limit=500)) == 450


async def test_two_sweeps_at_once_count_everything_once(queue: Queue) -> None:
    ids = [(await queue.run()).task_id for _ in range(5)]
    queue.clock.advance(91)
    await asyncio.gather(*(queue.work.sweeper.sweep() for _ in range(4)))
    for task_id in ids:
        assert (await queue.kinds(task_id)).count("task.requeued") == 1
    stats = await queue.work.stats()
    assert (stats.states["queued"], stats.states["running"], stats.assigned_failed) == (5, 0, 5)


async def test_ended_tasks_are_removed_after_their_retention_with_all_that_is_theirs(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.complete(ANNA, given.task_id, given.fence, "1")
    waiting = await queue.submit()
    queue.clock.advance(7 * DAY_S - 1)
    await queue.work.sweeper.prune()
    assert await queue.standing(given.task_id) == (State.SUCCEEDED, None)
    queue.clock.advance(2)
    await queue.work.sweeper.prune()
    with pytest.raises(UnknownTask):
        await queue.task(given.task_id)
    assert await queue.standing(waiting) == (State.QUEUED, None)
    states = (await queue.work.stats()).states
    assert (states["succeeded"], states["queued"]) == (0, 1)


async def test_a_restarted_server_finds_expired_leases_of_before(database: Database) -> None:
    clock = FakeClock()
    before = Queue(database, clock)
    await before.start()
    given = await before.run()
    await before.stop()
    after = Queue(database, clock)
    await after.start()
    assert [one.task_id for one in await after.work.held(ANNA)] == [given.task_id]
    await after.pass_time(91)
    await after.pass_time(1)
    assert (await after.take(BERT)).task_id == given.task_id
    await after.stop()


async def test_outcomes_reach_the_fleet(queue: Queue) -> None:
    told: list[tuple[str, str, bool, float]] = []
    queue.work._effects._record_outcome = lambda *outcome: told.append(outcome)  # type: ignore[assignment]
    given = await queue.run()
    queue.clock.advance(2)
    await queue.work.complete(ANNA, given.task_id, given.fence, "1")
    given = await queue.run(BERT)
    await queue.pass_time(91)
    assert told == [("anna", "one", True, 2_000.0), ("bert", "one", False, pytest.approx(91_000, abs=1_001))]


async def test_duplicates_of_pruned_keys_are_new_tasks(queue: Queue) -> None:
    first = await queue.submit(idempotency_key="k")
    queue.clock.advance(DAY_S + 1)
    await queue.work.sweeper.prune()
    again = await queue.work.submit(LOCAL, submission(idempotency_key="k"))
    assert (again.duplicate, again.task_id != first) == (False, True)
