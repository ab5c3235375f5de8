"""What holders say: begun, done, failed, given back, stopped. Fences decide whose word counts."""

import asyncio

import pytest

from stellwerk.database.database import Database
from stellwerk.trust.principal import LOCAL
from stellwerk.work.refusals import (
    ConflictingResult,
    LeaseLost,
    NotPossible,
    NotYours,
    TooLarge,
    UnknownTask,
)
from stellwerk.work.states import State
from stellwerk.work.task import Holder, Settled
from support.clock import FakeClock
from support.work import ALICE, ANNA, BERT, BOB, Queue


async def test_a_task_goes_from_leased_to_running_to_succeeded(queue: Queue) -> None:
    await queue.submit()
    given = await queue.take()
    started = await queue.work.acknowledge(ANNA, given.task_id, given.fence)
    assert (started.state, started.lease_expires_at) == (State.RUNNING, queue.clock.now_us() + 90_000_000)
    queue.clock.advance(3)
    settled = await queue.work.complete(ANNA, given.task_id, given.fence, '{"answer": 42}')
    assert settled == Settled(given.task_id, State.SUCCEEDED, False, None)
    task = await queue.task(given.task_id)
    assert (task.state, task.result, task.error, task.attempt) == (State.SUCCEEDED, '{"answer": 42}', None, 1)
    assert (task.finished_at, task.lease_expires_at) == (queue.clock.now_us(), None)
    assert await queue.kinds(given.task_id) == [
        "task.submitted",
        "task.leased",
        "task.started",
        "task.succeeded",
    ]
    stats = await queue.work.stats()
    assert (stats.completed, stats.failed, stats.assigned_ok, stats.active) == (1, 0, 1, 0)
    assert stats.states["succeeded"] == 1


async def test_a_repeatable_task_may_be_completed_without_being_acknowledged(queue: Queue) -> None:
    await queue.submit()
    given = await queue.take()
    settled = await queue.work.complete(ANNA, given.task_id, given.fence, "1")
    assert settled.state is State.SUCCEEDED


async def test_acknowledging_again_answers_the_same(queue: Queue) -> None:
    given = await queue.run()
    again = await queue.work.acknowledge(ANNA, given.task_id, given.fence)
    assert again.state is State.RUNNING
    assert (await queue.kinds(given.task_id)).count("task.started") == 1


async def test_an_attempt_that_its_holder_forgot_counts_and_a_run_once_task_is_lost(queue: Queue) -> None:
    repeatable = await queue.run()
    assert (await queue.work.forget(ANNA, repeatable.task_id, repeatable.fence)).state is State.QUEUED
    assert (await queue.task(repeatable.task_id)).attempt == 1
    once = await queue.run(repeatable=False)
    assert (await queue.work.forget(ANNA, once.task_id, once.fence)).state is State.FAILED
    assert (await queue.task(once.task_id)).reason == "lost"


async def test_messages_of_one_moment_take_effect_in_their_order(queue: Queue) -> None:
    await queue.submit()
    given = await queue.take()
    begun, done = await asyncio.gather(
        queue.work.acknowledge(ANNA, given.task_id, given.fence),
        queue.work.complete(ANNA, given.task_id, given.fence, "1"),
    )
    assert (begun.state, done.state) == (State.RUNNING, State.SUCCEEDED)
    assert (await queue.kinds(given.task_id))[-2:] == ["task.started", "task.succeeded"]
    assert (await queue.task(given.task_id)).started_at == queue.clock.now_us()


async def test_the_same_result_again_is_acknowledged_and_another_conflicts(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.complete(ANNA, given.task_id, given.fence, '{"a":1}')
    again = await queue.work.complete(ANNA, given.task_id, given.fence, '{"a":1}')
    assert (again.state, again.duplicate) == (State.SUCCEEDED, True)
    before = await queue.task(given.task_id)
    with pytest.raises(ConflictingResult):
        await queue.work.complete(ANNA, given.task_id, given.fence, '{"a":2}')
    with pytest.raises(ConflictingResult):
        await queue.work.fail(ANNA, given.task_id, given.fence, '"no"')
    assert await queue.task(given.task_id) == before
    assert (await queue.work.stats()).completed == 1


async def test_results_sent_at_once_are_taken_once(queue: Queue) -> None:
    given = await queue.run()
    answers = await asyncio.gather(
        *(queue.work.complete(ANNA, given.task_id, given.fence, str(n % 2)) for n in range(6)),
        return_exceptions=True,
    )
    taken = [answer for answer in answers if isinstance(answer, Settled)]
    refused = [answer for answer in answers if isinstance(answer, ConflictingResult)]
    assert [answer.duplicate for answer in taken] == [False, True, True]
    assert len(refused) == 3
    assert (await queue.task(given.task_id)).result == "0"


async def test_the_fence_of_an_older_attempt_is_refused(queue: Queue) -> None:
    old = await queue.run()
    await queue.pass_time(91)
    await queue.pass_time(2)
    new = await queue.take(BERT)
    assert (new.task_id, new.attempt, new.fence) == (old.task_id, 2, 2)
    before = await queue.task(old.task_id)
    for attempt in (
        queue.work.complete(ANNA, old.task_id, old.fence, "1"),
        queue.work.fail(ANNA, old.task_id, old.fence, "1"),
        queue.work.acknowledge(ANNA, old.task_id, old.fence),
        queue.work.hand_back(ANNA, old.task_id, old.fence),
        queue.work.progress(ANNA, old.task_id, old.fence, 0.5),
        queue.work.confirm_cancelled(ANNA, old.task_id, old.fence),
    ):
        with pytest.raises(LeaseLost):
            await attempt
    assert await queue.task(old.task_id) == before


async def test_a_lease_cannot_be_used_by_another_group(queue: Queue) -> None:
    given = await queue.run()
    with pytest.raises(LeaseLost):
        await queue.work.complete(BERT, given.task_id, given.fence, "1")


async def test_a_lease_survives_the_restart_of_its_holders_instance(queue: Queue) -> None:
    given = await queue.run()
    settled = await queue.work.complete(Holder("anna", "two"), given.task_id, given.fence, "1")
    assert settled.state is State.SUCCEEDED


async def test_an_unknown_task_is_refused(queue: Queue) -> None:
    with pytest.raises(UnknownTask):
        await queue.work.complete(ANNA, "nothing", 1, "1")


async def test_one_refused_message_does_not_touch_the_others(queue: Queue) -> None:
    await queue.submit()
    await queue.submit()
    one, two = await queue.lease(ANNA, limit=2)
    answers = await asyncio.gather(
        queue.work.complete(ANNA, one.task_id, one.fence, "1"),
        queue.work.complete(ANNA, two.task_id, 99, "1"),
        queue.work.complete(ANNA, "nothing", 1, "1"),
        return_exceptions=True,
    )
    assert isinstance(answers[0], Settled)
    assert isinstance(answers[1], LeaseLost)
    assert isinstance(answers[2], UnknownTask)
    assert await queue.standing(two.task_id) == (State.LEASED, None)


async def test_a_failed_attempt_is_tried_again_with_growing_pauses_until_the_task_is_dead(
    queue: Queue,
) -> None:
    given = await queue.run()
    for attempt, longest in ((1, 1.0), (2, 2.0)):
        settled = await queue.work.fail(ANNA, given.task_id, given.fence, f'"error {attempt}"')
        assert (settled.state, settled.reason) == (State.QUEUED, "retry")
        task = await queue.task(given.task_id)
        pause = (task.not_before or 0) - queue.clock.now_us()
        assert longest / 2 * 1e6 <= pause <= longest * 1e6
        assert task.error == f'"error {attempt}"'
        assert await queue.lease() == []
        await queue.pass_time(longest)
        given = await queue.take()
        assert (given.attempt, given.fence) == (attempt + 1, attempt + 1)
    settled = await queue.work.fail(ANNA, given.task_id, given.fence, '"the last"')
    assert (settled.state, settled.reason) == (State.DEAD, "attempts_exhausted")
    assert (await queue.task(given.task_id)).error == '"the last"'
    stats = await queue.work.stats()
    assert (stats.failed, stats.assigned_failed, stats.states["dead"]) == (1, 3, 1)


async def test_the_same_failure_again_is_acknowledged(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.fail(ANNA, given.task_id, given.fence, '"e"')
    again = await queue.work.fail(ANNA, given.task_id, given.fence, '"e"')
    assert (again.state, again.duplicate) == (State.QUEUED, True)
    with pytest.raises(LeaseLost):
        await queue.work.fail(ANNA, given.task_id, given.fence, '"another"')
    with pytest.raises(LeaseLost):
        await queue.work.complete(ANNA, given.task_id, given.fence, "1")


@pytest.mark.parametrize(("fields", "retryable"), [({"repeatable": False}, True), ({}, False)])
async def test_a_failure_is_final_for_what_may_not_run_again(
    queue: Queue, fields: dict[str, object], retryable: bool
) -> None:
    given = await queue.run(**fields)
    settled = await queue.work.fail(ANNA, given.task_id, given.fence, '"e"', retryable=retryable)
    assert (settled.state, settled.reason) == (State.FAILED, "error")
    await queue.pass_time(400)
    assert await queue.lease() == []


async def test_a_task_handed_back_goes_to_the_next_without_counting(queue: Queue) -> None:
    given = await queue.run()
    settled = await queue.work.hand_back(ANNA, given.task_id, given.fence)
    assert (settled.state, settled.reason) == (State.QUEUED, "handed_back")
    assert (await queue.work.hand_back(ANNA, given.task_id, given.fence)).duplicate
    again = await queue.take(BERT)
    assert (again.attempt, again.fence) == (1, 2)


async def test_a_task_handed_back_for_later_waits(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.hand_back(ANNA, given.task_id, given.fence, delay_s=5)
    assert await queue.lease(BERT) == []
    await queue.pass_time(5)
    assert (await queue.take(BERT)).task_id == given.task_id


async def test_what_may_run_only_once_cannot_be_handed_back_after_it_began(queue: Queue) -> None:
    await queue.submit(repeatable=False)
    given = await queue.take()
    await queue.work.hand_back(ANNA, given.task_id, given.fence)
    given = await queue.take()
    await queue.work.acknowledge(ANNA, given.task_id, given.fence)
    with pytest.raises(NotPossible):
        await queue.work.hand_back(ANNA, given.task_id, given.fence)
    assert await queue.standing(given.task_id) == (State.RUNNING, None)


async def test_a_result_past_the_limit_is_refused_and_the_lease_stays(database: Database) -> None:
    queue = Queue(database, FakeClock(), result_bytes=100)
    await queue.start()
    given = await queue.run()
    with pytest.raises(TooLarge):
        await queue.work.complete(ANNA, given.task_id, given.fence, '"' + "é" * 60 + '"')
    with pytest.raises(TooLarge):
        await queue.work.fail(ANNA, given.task_id, given.fence, '"' + "e" * 120 + '"')
    assert await queue.standing(given.task_id) == (State.RUNNING, None)
    assert (
        await queue.work.complete(ANNA, given.task_id, given.fence, '"' + "e" * 98 + '"')
    ).state is State.SUCCEEDED
    await queue.stop()


# Cancelling


async def test_a_waiting_task_is_cancelled_at_once(queue: Queue) -> None:
    task_id = await queue.submit()
    settled = await queue.work.cancel(LOCAL, task_id)
    assert (settled.state, settled.reason, settled.duplicate) == (State.CANCELLED, "requested", False)
    assert (await queue.work.cancel(LOCAL, task_id)).duplicate
    assert await queue.lease() == []
    assert (await queue.work.stats()).queue_sizes["normal"] == 0


async def test_a_running_task_is_asked_to_stop_and_ends_when_its_holder_confirms(queue: Queue) -> None:
    given = await queue.run()
    assert (await queue.work.cancel(LOCAL, given.task_id)).state is State.CANCELLING
    assert (await queue.work.cancel(LOCAL, given.task_id)).duplicate
    standing = await queue.work.progress(ANNA, given.task_id, given.fence, 0.5)
    assert standing.stop_asked
    settled = await queue.work.confirm_cancelled(ANNA, given.task_id, given.fence)
    assert (settled.state, settled.reason) == (State.CANCELLED, "requested")
    assert (await queue.work.confirm_cancelled(ANNA, given.task_id, given.fence)).duplicate


async def test_a_result_that_comes_before_the_holder_stopped_counts(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.cancel(LOCAL, given.task_id)
    assert (await queue.work.complete(ANNA, given.task_id, given.fence, "1")).state is State.SUCCEEDED


async def test_a_failure_or_a_hand_back_while_cancelling_ends_as_cancelled(queue: Queue) -> None:
    one = await queue.run()
    await queue.work.cancel(LOCAL, one.task_id)
    assert (await queue.work.fail(ANNA, one.task_id, one.fence, '"stopped"')).state is State.CANCELLED
    two = await queue.run()
    await queue.work.cancel(LOCAL, two.task_id)
    assert (await queue.work.hand_back(ANNA, two.task_id, two.fence)).state is State.CANCELLED


async def test_a_holder_that_never_confirms_is_not_waited_for(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.cancel(LOCAL, given.task_id)
    await queue.work.heartbeat(ANNA)
    await queue.pass_time(91)
    assert await queue.standing(given.task_id) == (State.CANCELLED, "requested")
    with pytest.raises(ConflictingResult):
        await queue.work.complete(ANNA, given.task_id, given.fence, "1")


async def test_nobody_confirms_what_nobody_asked(queue: Queue) -> None:
    given = await queue.run()
    with pytest.raises(NotPossible):
        await queue.work.confirm_cancelled(ANNA, given.task_id, given.fence)
    assert await queue.standing(given.task_id) == (State.RUNNING, None)


async def test_an_ended_task_cannot_be_cancelled(queue: Queue) -> None:
    given = await queue.run()
    await queue.work.complete(ANNA, given.task_id, given.fence, "1")
    with pytest.raises(NotPossible):
        await queue.work.cancel(LOCAL, given.task_id)


async def test_only_the_owner_or_an_administrator_cancels_and_requeues(queue: Queue) -> None:
    task_id = await queue.submit(ALICE)
    with pytest.raises(NotYours):
        await queue.work.cancel(BOB, task_id)
    assert await queue.standing(task_id) == (State.QUEUED, None)
    await queue.work.cancel(ALICE, task_id)
    with pytest.raises(NotYours):
        await queue.work.requeue(BOB, task_id)
    await queue.work.requeue(LOCAL, task_id)


# Queued again


async def test_a_dead_task_is_listed_and_queued_again_with_all_attempts(queue: Queue) -> None:
    given = await queue.run(max_attempts=1)
    await queue.work.fail(ANNA, given.task_id, given.fence, '"e"')
    assert await queue.standing(given.task_id) == (State.DEAD, "attempts_exhausted")
    settled = await queue.work.requeue(LOCAL, given.task_id)
    assert (settled.state, settled.reason) == (State.QUEUED, "requeued")
    task = await queue.task(given.task_id)
    assert (task.attempt, task.error, task.finished_at) == (0, None, None)
    with pytest.raises(LeaseLost):
        await queue.work.complete(ANNA, given.task_id, given.fence, "1")
    again = await queue.take(BERT)
    assert (again.attempt, again.fence) == (1, 2)


async def test_what_waits_runs_or_succeeded_cannot_be_requeued(queue: Queue) -> None:
    task_id = await queue.submit()
    with pytest.raises(NotPossible):
        await queue.work.requeue(LOCAL, task_id)
    given = await queue.take()
    with pytest.raises(NotPossible):
        await queue.work.requeue(LOCAL, task_id)
    await queue.work.complete(ANNA, task_id, given.fence, "1")
    with pytest.raises(NotPossible):
        await queue.work.requeue(LOCAL, task_id)
    assert (await queue.task(task_id)).result == "1"


async def test_clearing_cancels_one_class_only(queue: Queue) -> None:
    normal = [await queue.submit() for _ in range(3)]
    high = await queue.submit(priority=20)
    between = await queue.submit(priority=15)
    given = await queue.take()
    assert given.task_id == high
    assert await queue.work.clear(LOCAL, "normal") == 4
    assert await queue.standing(normal[0]) == (State.CANCELLED, "cleared")
    assert await queue.standing(between) == (State.CANCELLED, "cleared")
    assert await queue.standing(high) == (State.LEASED, None)
    assert await queue.work.clear(LOCAL, "normal") == 0


async def test_clearing_goes_in_steps_through_a_long_queue(queue: Queue) -> None:
    await asyncio.gather(*(queue.submit(priority=10 * (n % 2)) for n in range(1_300)))
    assert await queue.work.clear(LOCAL, "low") == 650
    assert await queue.work.queue_sizes() == {"urgent": 0, "critical": 0, "high": 0, "normal": 650, "low": 0}
