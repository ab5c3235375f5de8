"""Submitting: durable, in order, once however often it is sent, within limits."""

import asyncio

import pytest

from stellwerk.database.database import Database
from stellwerk.trust.principal import LOCAL
from stellwerk.work.matching import Attributes
from stellwerk.work.refusals import IdempotencyConflict, InvalidPriority, InvalidTask, QueueFull, TooManyForms
from stellwerk.work.requirements import Requirements
from stellwerk.work.states import State
from stellwerk.work.task import TaskFilter
from support.clock import FakeClock
from support.work import ALICE, ANNA, BOB, Queue, submission


async def count(queue: Queue) -> int:
    return len((await queue.work.list(TaskFilter())).tasks)


async def test_a_submitted_task_waits_with_everything_that_was_said(queue: Queue) -> None:
    now = queue.clock.now_us()
    done = await queue.work.submit(
        ALICE,
        submission(
            task_data='{"b": 2,  "a": 1}',
            task_type="sum",
            priority=20,
            priority_name="HIGH",
            requirements=Requirements(capabilities=("x",)),
            requirements_text='{"capabilities": ["x"], "model": "m"}',
            timeout_us=5_000_000,
            deadline_at=now + 60_000_000,
            max_attempts=5,
            repeatable=False,
        ),
    )
    task = await queue.task(done.task_id)
    assert (done.state, done.duplicate, done.submitted_at) == (State.QUEUED, False, now)
    assert (task.state, task.attempt, task.fence, task.principal) == (State.QUEUED, 0, 0, "key:alice")
    assert (task.task_data, task.requirements) == (
        '{"b": 2,  "a": 1}',
        '{"capabilities": ["x"], "model": "m"}',
    )
    assert (task.task_type, task.priority, task.priority_name) == ("sum", 20, "HIGH")
    assert (task.timeout_us, task.deadline_at, task.max_attempts) == (5_000_000, now + 60_000_000, 5)
    assert task.repeatable is False


async def test_tasks_submitted_at_once_are_all_kept(queue: Queue) -> None:
    ids = await asyncio.gather(*(queue.submit(task_data=f'{{"n":{n}}}') for n in range(300)))
    assert len(set(ids)) == 300
    stats = await queue.work.stats()
    assert (stats.submitted, stats.queue_sizes["normal"], stats.states["queued"]) == (300, 300, 300)


async def test_a_submission_is_in_the_journal(queue: Queue) -> None:
    task_id = await queue.submit()
    assert await queue.kinds(task_id) == ["task.submitted"]


async def test_the_same_key_and_body_is_the_same_task(queue: Queue) -> None:
    first = await queue.work.submit(ALICE, submission(idempotency_key="k", task_data='{"a": 1, "b": 2}'))
    queue.clock.advance(60)
    again = await queue.work.submit(ALICE, submission(idempotency_key="k", task_data='{"b":2,"a":1}'))
    assert (again.task_id, again.submitted_at, again.duplicate) == (first.task_id, first.submitted_at, True)
    assert await count(queue) == 1


async def test_the_same_key_with_another_body_conflicts_and_changes_nothing(queue: Queue) -> None:
    await queue.submit(idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        await queue.submit(idempotency_key="k", task_data='{"n":2}')
    assert await count(queue) == 1


async def test_keys_belong_to_their_principal(queue: Queue) -> None:
    first = await queue.submit(ALICE, idempotency_key="k")
    second = await queue.submit(BOB, idempotency_key="k", task_data='{"n":2}')
    assert first != second


async def test_a_key_is_forgotten_after_a_day(queue: Queue) -> None:
    first = await queue.submit(idempotency_key="k")
    queue.clock.advance(86_399)
    assert await queue.submit(idempotency_key="k") == first
    queue.clock.advance(2)
    assert await queue.submit(idempotency_key="k") != first


async def test_the_same_key_sent_many_times_at_once_is_one_task(queue: Queue) -> None:
    ids = await asyncio.gather(*(queue.submit(idempotency_key="k") for _ in range(40)))
    assert len(set(ids)) == 1
    assert (await queue.work.stats()).submitted == 1


async def test_a_clients_own_id_counts_as_a_key(queue: Queue) -> None:
    assert await queue.submit(ALICE, task_id="mine") == "mine"
    again = await queue.work.submit(ALICE, submission(task_id="mine"))
    assert (again.task_id, again.duplicate) == ("mine", True)
    with pytest.raises(IdempotencyConflict):
        await queue.submit(ALICE, task_id="mine", task_data='{"n":2}')
    with pytest.raises(IdempotencyConflict):
        await queue.submit(BOB, task_id="mine")
    assert await count(queue) == 1


async def test_an_own_id_that_is_taken_does_not_use_up_the_key(queue: Queue) -> None:
    await queue.submit(BOB, task_id="taken")
    with pytest.raises(IdempotencyConflict):
        await queue.submit(ALICE, task_id="taken", idempotency_key="k")
    assert await queue.submit(ALICE, task_id="free", idempotency_key="k") == "free"


async def test_a_duplicate_of_a_task_that_has_moved_on_tells_its_state(queue: Queue) -> None:
    await queue.submit(idempotency_key="k")
    await queue.take()
    again = await queue.work.submit(LOCAL, submission(idempotency_key="k"))
    assert (again.state, again.duplicate) == (State.LEASED, True)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"priority": 50}, InvalidPriority),
        ({"priority": -1}, InvalidPriority),
        ({"max_attempts": 0}, InvalidTask),
        ({"timeout_us": 0}, InvalidTask),
        ({"delay_us": -1}, InvalidTask),
        ({"delay_us": 1, "not_before": 1}, InvalidTask),
        ({"task_id": ""}, InvalidTask),
        ({"task_id": "x" * 254}, InvalidTask),
        ({"idempotency_key": ""}, InvalidTask),
    ],
)
async def test_what_is_out_of_range_is_refused_and_changes_nothing(
    queue: Queue, fields: dict[str, object], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await queue.submit(**fields)
    assert await count(queue) == 0


async def test_a_full_queue_refuses_more_until_there_is_room(database: Database) -> None:
    queue = Queue(database, FakeClock(), queue_limit=3)
    await queue.start()
    ids = [await queue.submit() for _ in range(3)]
    with pytest.raises(QueueFull):
        await queue.submit()
    assert await count(queue) == 3
    await queue.work.cancel(LOCAL, ids[0])
    await queue.submit()
    await queue.stop()


async def test_a_full_queue_lets_no_more_in_than_its_limit_at_once(database: Database) -> None:
    queue = Queue(database, FakeClock(), queue_limit=10)
    await queue.start()
    answers = await asyncio.gather(*(queue.submit() for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 10
    assert await count(queue) == 10
    await queue.stop()


async def test_no_more_forms_than_the_limit_are_in_use(database: Database) -> None:
    queue = Queue(database, FakeClock(), form_limit=2)
    await queue.start()
    tasks = [await queue.submit(asks={"capabilities": (name,)}) for name in ("a", "b")]
    with pytest.raises(TooManyForms):
        await queue.submit(asks={"capabilities": ("c",)})
    await queue.submit(asks={"capabilities": ("a",)})
    await queue.submit()
    await queue.work.cancel(LOCAL, tasks[1])
    await queue.work.sweeper.prune()
    await queue.submit(asks={"capabilities": ("c",)})
    with pytest.raises(TooManyForms):
        await queue.submit(asks={"capabilities": ("b",)})
    await queue.stop()


async def test_a_delayed_task_is_given_out_when_its_time_has_come(queue: Queue) -> None:
    task_id = await queue.submit(delay_us=10_000_000)
    await queue.pass_time(9.9)
    assert await queue.lease() == []
    await queue.pass_time(0.2)
    assert (await queue.take()).task_id == task_id


async def test_the_queue_is_found_again_after_a_restart(database: Database) -> None:
    clock = FakeClock()
    before = Queue(database, clock)
    await before.start()
    task_id = await before.submit(asks={"capabilities": ("x",), "agent": "anna"})
    await before.stop()
    after = Queue(database, clock)
    await after.start()
    offer = Attributes(capabilities=frozenset({"x"}))
    assert (await after.take(ANNA, offer)).task_id == task_id
    await after.stop()
