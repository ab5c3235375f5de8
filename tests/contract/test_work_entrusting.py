"""Tasks that are entrusted to holders which are dialled: running before they are sent, and nobody else's."""

import pytest

from stellwerk.trust.principal import LOCAL
from stellwerk.work.entrusting import Beside, Gift, Reassignment
from stellwerk.work.lifecycle import Live
from stellwerk.work.refusals import IdempotencyConflict, LeaseLost, NotPossible, UnknownTask
from stellwerk.work.requirements import Requirements
from stellwerk.work.states import State
from stellwerk.work.task import Holder, Submission
from support.work import ANYTHING, Queue

HERE, THERE = Holder("hello", "here"), Holder("hello", "there")
_KEEP = "INSERT INTO settings_kv (name, value, updated_at) VALUES ($1, $2, 0)"


def beside(name: str) -> Beside:
    return Beside(_KEEP, (name, "kept"))


def submission(**fields: object) -> Submission:
    said = {"task_data": "{}", "requirements": Requirements(agent="hello"), "delivered": True, **fields}
    return Submission(**said)  # type: ignore[arg-type]


async def begin(queue: Queue, task_id: str, holder: Holder | None = HERE, **fields: object) -> State:
    begun = await queue.work.entrusting.begin(
        LOCAL, submission(**fields), holder, [beside(task_id)], task_id=task_id
    )
    return begun.state


def reassignment(task_id: str, fence: int, *, repeats: bool = False) -> Reassignment:
    return Reassignment(HERE, task_id, fence, THERE, beside(f"{task_id}-again"), repeats)


async def test_an_entrusted_task_runs_from_its_first_commit(queue: Queue) -> None:
    assert await begin(queue, "t") is State.RUNNING
    task = await queue.task("t")
    assert (task.state, task.attempt, task.fence, task.holder_instance) == (State.RUNNING, 1, 1, "here")
    assert await queue.kinds("t") == ["task.submitted", "task.started"]
    stats = await queue.work.stats()
    assert (stats.states["running"], stats.submitted, stats.distributed) == (1, 1, 1)
    await queue.work.complete(HERE, "t", 1, "1")
    stats = await queue.work.stats()
    assert (stats.states["running"], stats.states["succeeded"], stats.completed) == (0, 1, 1)


async def test_whoever_waits_for_a_delivery_is_given_to_nobody_who_claims(queue: Queue) -> None:
    ready: list[str] = []
    queue.work.on_delivered(ready.append)
    assert await begin(queue, "t", None) is State.QUEUED
    assert ready == ["hello"]
    assert await queue.lease(HERE, ANYTHING, 10) == []
    (given,) = await queue.work.entrusting.give([Gift("t", HERE, beside("g"))])
    assert given is not None
    assert (given.state, given.attempt, given.fence) == (State.RUNNING, 1, 1)
    assert await queue.work.entrusting.give([Gift("t", THERE, beside("h"))]) == [None]


async def test_what_could_not_be_sent_goes_on_without_an_attempt(queue: Queue) -> None:
    await begin(queue, "t", repeatable=False)
    moved = await queue.work.entrusting.reassign(reassignment("t", 1))
    assert (moved.attempt, moved.fence, moved.holder_instance) == (1, 2, "there")
    with pytest.raises(LeaseLost):
        await queue.work.complete(HERE, "t", 1, "1")
    await queue.work.complete(THERE, "t", 2, "1")
    assert await queue.standing("t") == (State.SUCCEEDED, None)


async def test_what_is_repeated_counts_as_an_attempt(queue: Queue) -> None:
    await begin(queue, "t")
    moved = await queue.work.entrusting.reassign(reassignment("t", 1, repeats=True))
    assert (moved.attempt, moved.fence) == (2, 2)


async def test_what_was_never_sent_may_wait_again_though_it_may_run_only_once(queue: Queue) -> None:
    await begin(queue, "t", repeatable=False)
    with pytest.raises(NotPossible):
        await queue.work.hand_back(HERE, "t", 1)
    await queue.work.hand_back(HERE, "t", 1, unsent=True)
    task = await queue.task("t")
    assert (task.state, task.attempt) == (State.QUEUED, 0)


async def test_a_task_that_is_to_stop_or_unknown_goes_to_nobody(queue: Queue) -> None:
    await begin(queue, "t")
    await queue.work.cancel(LOCAL, "t")
    with pytest.raises(NotPossible):
        await queue.work.entrusting.reassign(reassignment("t", 1))
    with pytest.raises(UnknownTask):
        await queue.work.entrusting.reassign(reassignment("nothing", 1))
    with pytest.raises(LeaseLost):
        await queue.work.entrusting.reassign(reassignment("t", 7))


async def test_a_lost_task_may_begin_again_at_once(queue: Queue) -> None:
    await begin(queue, "t")
    await queue.work.forget(HERE, "t", 1, at_once=True)
    task = await queue.task("t")
    assert (task.state, task.reason, task.not_before) == (State.QUEUED, "lost", None)


async def test_the_same_key_begins_one_task_and_writes_one_row_beside_it(queue: Queue) -> None:
    await begin(queue, "t", idempotency_key="k")
    again = await queue.work.entrusting.begin(
        LOCAL, submission(idempotency_key="k"), HERE, [beside("u")], task_id="u"
    )
    assert (again.task_id, again.duplicate, again.state) == ("t", True, State.RUNNING)
    with pytest.raises(IdempotencyConflict):
        await begin(queue, "v", idempotency_key="k", task_data='{"other":1}')
    task = await queue.task("t")
    assert (task.state, task.fence, task.holder_instance) == (State.RUNNING, 1, "here")
    assert (await queue.work.stats()).submitted == 1


async def test_those_who_follow_learn_of_every_task_that_nobody_has_any_more(queue: Queue) -> None:
    seen: list[tuple[State, State]] = []

    def listen(before: Live, after: Live) -> None:
        seen.append((before.state, after.state))

    queue.work.on_released(listen)
    await begin(queue, "t")
    await begin(queue, "u")
    await queue.work.entrusting.reassign(reassignment("u", 1))
    await queue.work.complete(HERE, "t", 1, "1")
    await queue.work.forget(THERE, "u", 2, at_once=True)
    assert seen == [(State.RUNNING, State.SUCCEEDED), (State.RUNNING, State.QUEUED)]


async def test_the_end_of_an_expected_task_is_told_with_its_error(queue: Queue) -> None:
    ended = queue.work.entrusting.expect("t")
    await begin(queue, "t")
    await queue.work.fail(HERE, "t", 1, '{"error":"no"}', retryable=False)
    outcome = await ended
    assert (outcome.state, outcome.reason, outcome.error) == (State.FAILED, "error", '{"error":"no"}')
