"""Entrust tasks to holders that are dialled: who submits them delivers them too.

Theory of operation. Such a task runs from the moment at which it is entrusted, which is durable before it is
sent: whoever finds it running after a crash must take it for begun. One that could not be sent goes to
another holder (`reassign`) or back into the queue, and has not begun. One whose end nobody knows is repeated
only if it may be. Every change of the holder grows the fence. Requests of one moment share a unit, and what
must be written with a task (`Beside`) is written in it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Many, Unit, Value
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append_many
from stellwerk.settings import WorkSettings
from stellwerk.trust.principal import Principal
from stellwerk.work import lifecycle
from stellwerk.work.counting import QUEUED_COUNTER, add_up, count_changes
from stellwerk.work.effects import Effects
from stellwerk.work.events import event_data, step_event
from stellwerk.work.gauge import QueueGauge
from stellwerk.work.grouping import Grouper
from stellwerk.work.lease import Terms, running_until
from stellwerk.work.lifecycle import Change, Live, prove_lease
from stellwerk.work.outcomes import Outcomes
from stellwerk.work.refusals import NotPossible, UnknownTask, WorkRefused
from stellwerk.work.states import State
from stellwerk.work.store import load_live
from stellwerk.work.submitting import INSERT_PAYLOAD, NewTask, prepare, submitted_event, write_once
from stellwerk.work.task import Holder, Submission, Submitted

_COLUMNS = (
    "task_id, principal, application, task_type, queue_key, form_id, target_group, priority, priority_name,"
    " rank_at, repeatable, max_attempts, submitted_at, not_before, delayed, deadline_at, timeout_us"
)
_INSERT_QUEUED = f"""
INSERT INTO tasks ({_COLUMNS}, state, attempt, fence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'queued', 0, 0)"""
_INSERT_RUNNING = f"""
INSERT INTO tasks ({_COLUMNS}, state, attempt, fence, leased_at, started_at, lease_expires_at,
holder_group, holder_instance)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'running', 1, 1,
$13, $13, $18, $19, $20)"""
_ENTRUST = """
UPDATE tasks SET state = 'running', reason = NULL, attempt = $2, fence = $3, leased_at = $4, started_at = $5,
lease_expires_at = $6, holder_group = $7, holder_instance = $8, not_before = NULL, delayed = 0,
progress = NULL, progress_note = NULL WHERE task_id = $1"""


class Beside(NamedTuple):
    """A row that is written with a task; equal texts of one unit are one statement."""

    text: str
    row: tuple[Value, ...]


class Beginning(msgspec.Struct, frozen=True, gc=False):
    """A new task with whoever gets it; None: it waits."""

    task: NewTask
    holder: Holder | None
    beside: Sequence[Beside]


class Gift(msgspec.Struct, frozen=True, gc=False):
    """A waiting task and whoever is to get it."""

    task_id: str
    holder: Holder
    beside: Beside


class Reassignment(msgspec.Struct, frozen=True, gc=False):
    """A running task that another holder is to get."""

    holder: Holder
    """Who has it."""
    task_id: str
    fence: int
    to: Holder
    beside: Beside
    repeats: bool
    """Whether it may have begun, and is repeated; else it could not be sent."""


class Entrusting:
    """See the module. All methods belong to the event loop and may raise DatabaseUnavailable."""

    def __init__(
        self,
        database: Database,
        effects: Effects,
        outcomes: Outcomes,
        terms: Terms,
        *,
        settings: WorkSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._effects = effects
        self._terms = terms
        self._settings = settings
        self._clock = clock
        self._gauge = QueueGauge(database, settings.queue_limit)
        self._beginnings: Grouper[Beginning, Submitted] = Grouper(self._write)
        self.expect = outcomes.expect
        """Leave a future for the end of a task that has not begun yet."""
        self.forget = outcomes.forget
        """Take such a future back."""

    async def finish(self) -> None:
        """Wait until everything asked so far is answered."""
        await self._beginnings.finish()

    async def begin(
        self,
        principal: Principal,
        submission: Submission,
        holder: Holder | None,
        beside: Sequence[Beside],
        *,
        task_id: str,
    ) -> Submitted:
        """Write a new task, running with its holder or waiting; durable on return.

        For a duplicate (by idempotency key) what the first got. Raises InvalidPriority, InvalidTask,
        IdempotencyConflict, QueueFull where it is to wait.
        """
        step_us = int(self._settings.ageing_step_s * MICROSECONDS)
        now_us = self._clock.now_us()
        task = prepare(principal.id, submission, now_us, step_us, self._terms, new_id=task_id)
        if holder is not None:
            return await self._beginnings.ask(Beginning(task, holder, beside))
        await self._gauge.admit()
        queued = False
        try:
            submitted = await self._beginnings.ask(Beginning(task, None, beside))
            queued = not submitted.duplicate
        finally:
            self._gauge.entered(queued=queued)
        return submitted

    async def give(self, gifts: Sequence[Gift]) -> list[Live | None]:
        """Entrust waiting tasks; None for those that do not wait any more."""
        now_us = self._clock.now_us()
        given = await self._database.write(lambda: _give(gifts, now_us, self._terms))
        self._effects.appended()
        return given

    async def reassign(self, asked: Reassignment) -> Live:
        """Entrust a running task to another holder.

        Raises UnknownTask, LeaseLost, NotPossible where it is to stop or has ended.
        """
        now_us = self._clock.now_us()
        task = await self._database.write(lambda: _reassign(asked, now_us, self._terms))
        self._effects.appended()
        return task

    async def _write(self, beginnings: Sequence[Beginning]) -> Sequence[Submitted | Exception]:
        keys_since = self._clock.now_us() - int(self._settings.idempotency_s * MICROSECONDS)
        answers = await self._database.write(lambda: begin_tasks(beginnings, keys_since, self._terms))
        for beginning, answer in zip(beginnings, answers, strict=True):
            waits = beginning.holder is None and isinstance(answer, Submitted) and not answer.duplicate
            if waits and not beginning.task.delayed:
                self._effects.ready(beginning.task.queue_key, beginning.task.rank_at)
        self._effects.appended()
        return answers


def begin_tasks(
    beginnings: Sequence[Beginning], keys_since: int, terms: Terms
) -> Unit[list[Submitted | WorkRefused]]:
    """Write new tasks; those that were sent before are answered as then."""
    answers: list[Submitted | WorkRefused] = []
    fresh: list[Beginning] = []
    for one in beginnings:
        task = one.task
        answer = (yield from write_once(task, keys_since)) if task.body_hash else None
        if answer is None:
            fresh.append(one)
            state = State.QUEUED if one.holder is None else State.RUNNING
            answer = Submitted(task.task_id, task.submitted_at, state, False)
        answers.append(answer)
    if fresh:
        yield from _insert(fresh, terms)
    return answers


def _insert(fresh: Sequence[Beginning], terms: Terms) -> Unit[None]:
    queued = [one.task.row for one in fresh if one.holder is None and not one.task.body_hash]
    running: list[tuple[Value, ...]] = []
    written: list[tuple[Value, ...]] = []
    events = []
    for one in fresh:
        task, holder = one.task, one.holder
        events.append(submitted_event(task))
        if holder is None:
            continue
        now_us = task.submitted_at
        until = running_until(now_us, now_us, _timeout_of(task), terms)
        if task.body_hash:
            # `write_once` had to insert it to find out whether it was there.
            written.append((task.task_id, 1, 1, now_us, now_us, until, *holder))
        else:
            running.append((*task.row, until, *holder))
        events.append(_started_event(task, holder))
    for text, rows in ((_INSERT_QUEUED, queued), (_INSERT_RUNNING, running), (_ENTRUST, written)):
        if rows:
            yield Many(text, rows)
    payloads = [one.task.payload for one in fresh if not one.task.body_hash]
    if payloads:
        yield Many(INSERT_PAYLOAD, payloads)
    yield from _write_beside([row for one in fresh for row in one.beside])
    yield from append_many(events, fresh[0].task.submitted_at)
    yield from add_up(_amounts(fresh))


def _amounts(fresh: Sequence[Beginning]) -> dict[str, int]:
    begun = sum(one.holder is not None for one in fresh)
    amounts = {
        "work.submitted": len(fresh),
        "state.running": begun,
        "work.distributed": begun,
        "state.queued": len(fresh) - begun,
    }
    for one in fresh:
        if one.holder is None:
            counter = QUEUED_COUNTER[one.task.priority]
            amounts[counter] = amounts.get(counter, 0) + 1
    return amounts


def _give(gifts: Sequence[Gift], now_us: int, terms: Terms) -> Unit[list[Live | None]]:
    tasks = yield from load_live([gift.task_id for gift in gifts])
    given: list[Live | None] = []
    changes: list[Change] = []
    beside: list[Beside] = []
    for gift in gifts:
        task = tasks.get(gift.task_id)
        if task is None or task.state is not State.QUEUED or task.delayed or _is_overdue(task, now_us):
            given.append(None)
            continue
        after = lifecycle.entrust(task, gift.holder, now_us, terms)
        changes.append(Change(task, after))
        beside.append(gift.beside)
        given.append(after)
    yield from _write_entrusted(changes, beside, now_us)
    yield from add_up({"work.distributed": len(changes)})
    return given


def _reassign(asked: Reassignment, now_us: int, terms: Terms) -> Unit[Live]:
    task = (yield from load_live([asked.task_id])).get(asked.task_id)
    if task is None:
        raise UnknownTask(asked.task_id)
    prove_lease(task, asked.holder, asked.fence)
    if task.state is not State.RUNNING:
        raise NotPossible(task.task_id, task.state, "given to another holder")
    after = lifecycle.entrust(task, asked.to, now_us, terms, repeats=asked.repeats)
    yield from _write_entrusted([Change(task, after)], [asked.beside], now_us)
    return after


def _write_entrusted(changes: Sequence[Change], beside: Sequence[Beside], now_us: int) -> Unit[None]:
    if not changes:
        return
    yield Many(_ENTRUST, [_entrusted_row(change.after) for change in changes])
    yield from _write_beside(beside)
    yield from append_many([step_event(change.after) for change in changes], now_us)
    yield from count_changes(changes)


def _entrusted_row(task: Live) -> tuple[Value, ...]:
    return (
        task.task_id,
        task.attempt,
        task.fence,
        task.leased_at,
        task.started_at,
        task.lease_expires_at,
        task.holder_group,
        task.holder_instance,
    )


def _write_beside(beside: Sequence[Beside]) -> Unit[None]:
    rows: dict[str, list[tuple[Value, ...]]] = {}
    for one in beside:
        rows.setdefault(one.text, []).append(one.row)
    for text, some in rows.items():
        yield Many(text, some)


def _is_overdue(task: Live, now_us: int) -> bool:
    return task.deadline_at is not None and task.deadline_at <= now_us


def _timeout_of(task: NewTask) -> int | None:
    timeout_us = task.row[-1]
    return timeout_us if isinstance(timeout_us, int) else None


def _started_event(task: NewTask, holder: Holder) -> Event:
    data = event_data(1, 1, holder.instance, None)
    return Event(
        "task.started", Retention.TASK, holder.group, task.task_id, task.principal, task.application, data
    )
