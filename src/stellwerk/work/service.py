"""The queue's use cases behind one door.

Theory of operation. Requests of the same moment share a unit of work (`grouping`), so their cost falls with
the load. What a unit decided is handed to `effects` after its commit: from there wake-ups go to the
dispatcher, to claimers, to those who wait for results, to holders and to other replicas. Time passes in
`sweeper`. Nothing in memory is needed for correctness: after a kill everything is found again in the
database.
"""

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.fleet.service import Fleet
from stellwerk.journal.service import Journal
from stellwerk.settings import WorkSettings
from stellwerk.trust.principal import Principal
from stellwerk.work import reading
from stellwerk.work.balancing.catalogue import strategy_named
from stellwerk.work.cancelling import cancel_task, clear_some, requeue_task
from stellwerk.work.claiming import Claimers
from stellwerk.work.dispatch import Dispatcher
from stellwerk.work.effects import Effects
from stellwerk.work.forms import Forms, read_forms
from stellwerk.work.gauge import QueueGauge
from stellwerk.work.grouping import Grouper
from stellwerk.work.lease import terms_of
from stellwerk.work.leasing import lease_heads, waiting_queues
from stellwerk.work.lifecycle import Change
from stellwerk.work.matching import Attributes
from stellwerk.work.offering import accepts, offer
from stellwerk.work.outcomes import Outcomes
from stellwerk.work.picking import Picking
from stellwerk.work.priority import CLASSES
from stellwerk.work.refusals import InvalidPriority, TooManyForms, WorkRefused
from stellwerk.work.replicas import ENDED, READY, STOPPING, Replicas
from stellwerk.work.reporting import (
    LogLimits,
    LogSizes,
    Report,
    renew_holders,
    shorten_leases,
    take_reports,
)
from stellwerk.work.requirements import read_form
from stellwerk.work.seats import Seat, Seats
from stellwerk.work.settling import (
    Begun,
    Done,
    Failed,
    Forgotten,
    HandedBack,
    Message,
    Stopped,
    kept_result,
    settle_tasks,
)
from stellwerk.work.submitting import NewTask, prepare, submit_tasks
from stellwerk.work.sweeper import Sweeper
from stellwerk.work.switching import Balancing
from stellwerk.work.task import (
    Assignment,
    Holder,
    LogLine,
    Outcome,
    Settled,
    Standing,
    Submission,
    Submitted,
    Task,
    TaskFilter,
    TaskLog,
    TaskPage,
    WorkStats,
)
from stellwerk.work.waiting import WaitingQueues

_Assignments = list[Assignment]
"""Within the class `list` is a use case."""


class Work:
    """Submit, claim, report, settle, read. Every method may raise DatabaseUnavailable."""

    def __init__(
        self, database: Database, journal: Journal, fleet: Fleet, settings: WorkSettings, clock: Clock
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._settings = settings
        self._clock = clock
        self._terms = terms_of(settings)
        self._ageing_step_us = int(settings.ageing_step_s * MICROSECONDS)
        self._log_limits = LogLimits(settings.log_line_bytes, settings.log_task_bytes)
        self._log_sizes = LogSizes()
        self._forms = Forms()
        self._waiting = WaitingQueues()
        self._gauge = QueueGauge(database, settings.queue_limit)
        self._outcomes = Outcomes(database)
        self._replicas = Replicas(database)
        self.seats = Seats(self._forms.get, strategy_named(settings.strategy))
        """The connected holders; interfaces report load to them."""
        self.balancing = Balancing(database, self.seats, clock)
        """The balancing strategy in use."""
        self._effects = Effects(
            waiting=self._waiting,
            seats=self.seats,
            outcomes=self._outcomes,
            replicas=self._replicas,
            committed=journal.committed,
            record_outcome=fleet.record_outcome,
        )
        self._dispatcher = Dispatcher(
            database,
            self.seats,
            self._waiting,
            self.hand_back_all,
            clock=clock,
            settings=settings,
            leased=self._effects.appended,
        )
        self.picking = Picking(
            database,
            self._waiting,
            self._forms,
            seats=self.seats,
            effects=self._effects,
            terms=self._terms,
            clock=clock,
        )
        """Looking before taking, and parting from a holder."""
        self._claimers = Claimers(self._waiting, self._forms, self._lease, self.hand_back_all)
        self.sweeper = Sweeper(database, self._effects, self._forms, settings=settings, clock=clock)
        """The background pass; tests call it instead of waiting."""
        self._submissions: Grouper[NewTask, Submitted] = Grouper(self._write_submissions)
        self._messages: Grouper[Message, Change] = Grouper(self._write_messages)
        self._reports: Grouper[Report, Change] = Grouper(
            self._write_reports, most=1_000, under_way=1, apart_s=settings.flush_s
        )
        self._renewals: Grouper[Holder, None] = Grouper(
            self._write_renewals, most=5_000, under_way=1, apart_s=settings.flush_s
        )
        self._shortenings: Grouper[Holder, None] = Grouper(self._write_shortenings, most=5_000, under_way=1)
        self._started = False
        fleet.on_change(self._follow)

    # Beginning and end

    async def start(self) -> None:
        """Read what waits and begin to dispatch and sweep; may be called more than once."""
        if self._started:
            return
        self._started = True
        for form_id, form in await self._database.read(read_forms):
            self._forms.put(form_id, form)
        await self._gauge.read()
        await self._look_for_ready(False)
        self._replicas.look_for(READY, self._look_for_ready)
        self._replicas.look_for(ENDED, self._look_for_ended)
        self._replicas.look_for(STOPPING, self._look_for_stopping)
        await self._replicas.start()
        await self.balancing.start()
        await self._dispatcher.start()
        await self.sweeper.start()

    async def stop(self) -> None:
        """Stop dispatching and sweeping, write what is pending; may be called more than once."""
        if not self._started:
            return
        self._started = False
        await self.sweeper.stop()
        await self._dispatcher.stop()
        await self.balancing.stop()
        await self._claimers.finish()
        for grouper in (self._submissions, self._messages, self._reports, self._renewals, self._shortenings):
            await grouper.finish()
        await self._effects.finish()
        await self._replicas.stop()

    # Those who give work

    async def submit(self, principal: Principal, submission: Submission) -> Submitted:
        """Queue a task; it is durable on return.

        Raises InvalidPriority, InvalidTask, IdempotencyConflict, QueueFull, TooManyForms.
        """
        task = prepare(principal.id, submission, self._clock.now_us(), self._ageing_step_us, self._terms)
        self._know_form(task)
        await self._gauge.admit()
        queued = False
        try:
            submitted = await self._submissions.ask(task)
            queued = not submitted.duplicate
        finally:
            self._gauge.entered(queued=queued)
        return submitted

    async def cancel(self, principal: Principal, task_id: str) -> Settled:
        """Cancel a waiting task, or ask its holder to stop. Again: the same answer.

        Raises UnknownTask, NotYours, NotPossible.
        """
        now_us = self._clock.now_us()
        change = await self._database.write(lambda: cancel_task(principal, task_id, now_us, self._terms))
        self._effects.changed([change])
        return _settled(change)

    async def requeue(self, principal: Principal, task_id: str) -> Settled:
        """Queue a failed, dead or cancelled task again, with all its attempts.

        Raises UnknownTask, NotYours, NotPossible, QueueFull.
        """
        now_us = self._clock.now_us()
        await self._gauge.admit()
        queued = False
        try:
            change = await self._database.write(lambda: requeue_task(principal, task_id, now_us))
            queued = True
        finally:
            self._gauge.entered(queued=queued)
        self._log_sizes.forget(task_id)
        self._effects.changed([change])
        return _settled(change)

    async def clear(self, principal: Principal, priority_class: str) -> int:
        """Cancel what waits now in a priority class (its lower-case name), in steps; return how many.

        The caller's right to do so is the interface's to check. Raises InvalidPriority.
        """
        if priority_class not in CLASSES:
            raise InvalidPriority(priority_class)
        until = self._clock.now_us()
        position: tuple[int, str] | None = (0, "")
        cleared = 0
        while position is not None:
            here, now_us = position, self._clock.now_us()
            changes, position = await self._database.write(
                lambda here=here, now_us=now_us: clear_some(  # type: ignore[misc]
                    priority_class, here, until, now_us, self._terms
                )
            )
            self._effects.changed(changes)
            cleared += len(changes)
        return cleared

    # Those who do it

    async def claim(
        self, holder: Holder, attributes: Attributes, limit: int = 1, wait_s: float = 0.0
    ) -> list[Assignment]:
        """Lease up to `limit` tasks that the holder matches; wait up to `wait_s` for the first.

        Among those who offer the same, who came first is served first.
        """
        return await self._claimers.claim(holder, attributes, limit, wait_s)

    async def connect(self, seat: Seat) -> list[Assignment]:
        """Give a connected holder a seat, so that it is handed work; return the leases that it has already.

        A seat that the holder had before is replaced. Leases that it no longer works on it hands back.
        """
        before = await self.held(seat.holder)
        counted = {assignment.task_id: assignment.fence for assignment in before}
        self.seats.connect(seat, [*counted.items(), *self.seats.held(seat.holder).items()])
        now = await self.held(seat.holder)
        # What ended between the first look and the seat was uncounted for nobody.
        kept = {assignment.task_id: assignment.fence for assignment in now}
        for task_id, fence in counted.items():
            if kept.get(task_id) != fence:
                self.seats.release(seat.holder, task_id, fence)
        await self.heartbeat(seat.holder)
        return now

    def disconnect(self, seat: Seat, *, shorten: bool = True) -> None:
        """Take the seat away.

        The holder keeps its leases for the reconnect grace, unless it has a newer seat; without `shorten` as
        long as they last, because it reports on another way too.
        """
        if self.seats.disconnect(seat) and shorten:
            self._shortenings.ask(seat.holder).add_done_callback(_forget_failure)

    async def held(self, holder: Holder) -> list[Assignment]:
        """Return the leases that this holder has now (for a worker that comes back)."""
        return await self._database.read(lambda: reading.read_held(holder))

    async def acknowledge(self, holder: Holder, task_id: str, fence: int) -> Standing:
        """Record that the holder begins; durable on return. Again: the same answer.

        A holder starts a task that is not repeatable only after this. Raises UnknownTask, LeaseLost.
        """
        return _standing(await self._messages.ask(Begun(holder, task_id, fence)))

    async def progress(
        self, holder: Holder, task_id: str, fence: int, fraction: float, note: str | None = None
    ) -> Standing:
        """Record how far the attempt is (0 to 1, never back) and renew the lease.

        Written with others, at most `flush_s` later; who does not want to wait for that lets it run as a
        task. Raises UnknownTask, LeaseLost.
        """
        return _standing(await self._reports.ask(Report(holder, task_id, fence, fraction, note)))

    async def log(self, holder: Holder, task_id: str, fence: int, lines: Sequence[LogLine]) -> Standing:
        """Keep log lines and renew the lease; written as `progress` is. Raises UnknownTask, LeaseLost."""
        return _standing(await self._reports.ask(Report(holder, task_id, fence, lines=tuple(lines))))

    async def heartbeat(self, holder: Holder) -> None:
        """Renew this holder's running leases; written with others, at most `flush_s` later."""
        self._renewals.ask(holder).add_done_callback(_forget_failure)

    def renew(self, holder: Holder, task_id: str, fence: int, fraction: float | None = None) -> None:
        """Renew one lease soon, with its progress where that is known; nobody learns of a failure."""
        self._reports.ask(Report(holder, task_id, fence, fraction)).add_done_callback(_forget_failure)

    async def complete(self, holder: Holder, task_id: str, fence: int, result: str) -> Settled:
        """End the task with a result (JSON text).

        Raises UnknownTask, LeaseLost, ConflictingResult, TooLarge.
        """
        kept = kept_result(task_id, result=result, limit=self._settings.result_bytes)
        return _settled(await self._messages.ask(Done(holder, task_id, fence, kept)))

    async def fail(
        self,
        holder: Holder,
        task_id: str,
        fence: int,
        error: str,
        *,
        retryable: bool = True,
        timed_out: bool = False,
    ) -> Settled:
        """End the attempt with an error (JSON text): retried later, failed or dead. Raises as `complete`."""
        kept = kept_result(task_id, error=error, limit=self._settings.result_bytes)
        jitter = random.random()  # noqa: S311 (spreads retries, keeps no secret)
        return _settled(
            await self._messages.ask(Failed(holder, task_id, fence, kept, retryable, jitter, timed_out))
        )

    async def hand_back(self, holder: Holder, task_id: str, fence: int, delay_s: float = 0.0) -> Settled:
        """Give the task back unfinished, to be given out again after `delay_s`; the attempt does not count.

        Raises UnknownTask, LeaseLost, NotPossible for a running task that may run only once.
        """
        message = HandedBack(holder, task_id, fence, int(delay_s * MICROSECONDS))
        return _settled(await self._messages.ask(message))

    async def forget(self, holder: Holder, task_id: str, fence: int) -> Settled:
        """End the attempt of a holder that came back without it, as if its lease had ended.

        Raises UnknownTask, LeaseLost.
        """
        jitter = random.random()  # noqa: S311 (spreads retries, keeps no secret)
        return _settled(await self._messages.ask(Forgotten(holder, task_id, fence, jitter)))

    async def hand_back_all(self, assignments: Sequence[Assignment]) -> None:
        """Give back what could not be handed over; leases that have ended meanwhile are left alone."""
        asked = [self._messages.ask(HandedBack(one.holder, one.task_id, one.fence)) for one in assignments]
        for future in asked:
            try:
                await future
            except WorkRefused:
                continue

    async def confirm_cancelled(self, holder: Holder, task_id: str, fence: int) -> Settled:
        """Record that the holder stopped as asked. Raises UnknownTask, LeaseLost, NotPossible."""
        return _settled(await self._messages.ask(Stopped(holder, task_id, fence)))

    async def shorten(self, holders: Iterable[Holder]) -> None:
        """Let the leases of holders whose connection broke end within the reconnect grace."""
        for future in [self._shortenings.ask(holder) for holder in holders]:
            await future

    # Those who look

    async def get(self, task_id: str) -> Task:
        """Return a task with its data and result. Raises UnknownTask."""
        return await self._database.read(lambda: reading.read_task(task_id))

    async def list(self, filters: TaskFilter, cursor: str | None = None, limit: int = 100) -> TaskPage:
        """Return tasks, newest first. Raises InvalidCursor."""
        return await self._database.read(lambda: reading.list_tasks(filters, cursor, limit))

    async def result(self, task_id: str, wait_s: float = 0.0) -> Outcome:
        """Return how the task stands, waiting up to `wait_s` for its end. Raises UnknownTask."""
        return await self._outcomes.wait(task_id, wait_s)

    async def logs(
        self, task_id: str, after_seq: int = -1, attempt: int | None = None, limit: int = 1000
    ) -> TaskLog:
        """Return the log lines of an attempt after a sequence number; None is the last attempt.

        Raises UnknownTask.
        """
        return await self._database.read(lambda: reading.read_log(task_id, attempt, after_seq, limit))

    async def stats(self) -> WorkStats:
        """Return counters and queue sizes."""
        counters: dict[str, int] = {}
        for prefix in ("queued.", "state.", "work."):
            counters |= await self._database.counters(prefix)
        return reading.stats_of(counters)

    async def queue_sizes(self) -> dict[str, int]:
        """Return the number of waiting tasks per priority class."""
        return reading.stats_of(await self._database.counters("queued.")).queue_sizes

    def waiting_claims(self) -> int:
        """Count the claims that wait for a task, on this replica."""
        return len(self._claimers)

    # Units of work

    async def _write_submissions(self, tasks: Sequence[NewTask]) -> Sequence[Submitted | Exception]:
        keys_since = self._clock.now_us() - int(self._settings.idempotency_s * MICROSECONDS)
        answers = await self._database.write(lambda: submit_tasks(tasks, keys_since))
        for task, answer in zip(tasks, answers, strict=True):
            if isinstance(answer, Submitted) and not answer.duplicate and not task.delayed:
                self._effects.ready(task.queue_key, task.rank_at)
        self._effects.appended()
        return answers

    async def _write_messages(self, messages: Sequence[Message]) -> Sequence[Change | Exception]:
        now_us = self._clock.now_us()
        answers = await self._database.write(lambda: settle_tasks(messages, now_us, self._terms))
        results = {message.task_id: message.kept for message in messages if isinstance(message, Done)}
        self._effects.changed([answer for answer in answers if isinstance(answer, Change)], results)
        return answers

    async def _write_reports(self, reports: Sequence[Report]) -> Sequence[Change | Exception]:
        now_us = self._clock.now_us()
        # Each try of the unit gets sizes of its own: what an undone one counted was not kept.
        known = {report.task_id: self._log_sizes.get(report.task_id) for report in reports if report.lines}
        sizes: dict[str, int] = {}

        def unit() -> Unit[list[Change | WorkRefused]]:
            sizes.clear()
            sizes.update({task_id: size for task_id, size in known.items() if size is not None})
            return take_reports(reports, now_us, self._terms, self._log_limits, sizes)

        answers: list[Change | WorkRefused] = await self._database.write(unit)
        for task_id, size in sizes.items():
            self._log_sizes.put(task_id, size)
        self._effects.changed([answer for answer in answers if isinstance(answer, Change)])
        return answers

    async def _write_renewals(self, holders: Sequence[Holder]) -> Sequence[Exception | None]:
        now_us = self._clock.now_us()
        await self._database.write(lambda: renew_holders(list(set(holders)), now_us, self._terms))
        return [None] * len(holders)

    async def _write_shortenings(self, holders: Sequence[Holder]) -> Sequence[Exception | None]:
        until = self._clock.now_us() + self._terms.grace_us
        gone = list({holder for holder in holders if self.seats.get(holder) is None})
        if gone:  # Who has come back meanwhile keeps its leases as they are.
            await self._database.write(lambda: shorten_leases(gone, until))
        return [None] * len(holders)

    async def _lease(self, holder: Holder, queue_keys: Sequence[str], limit: int) -> _Assignments:
        now_us = self._clock.now_us()
        revision = self._waiting.revision
        found = await self._database.write(
            lambda: lease_heads(
                queue_keys,
                limit,
                lambda _: holder,
                now_us=now_us,
                ack_deadline_us=self._terms.acknowledge_us,
            )
        )
        self._waiting.drained(found.drained, revision)
        for assignment in found.assignments:
            self.seats.hold(holder, assignment.task_id, assignment.fence)
        if found.assignments:
            self._effects.appended()
        return found.assignments

    # Following

    def _know_form(self, task: NewTask) -> None:
        if task.form is None or self._forms.get(task.form_id) is not None:
            return
        if len(self._forms) >= self._settings.form_limit:
            raise TooManyForms(self._settings.form_limit)
        self._forms.put(task.form_id, read_form(task.form))

    def _follow(self, group: str) -> None:
        """Let the seats of a group follow its registration."""
        seats = self.seats.of_group(group)
        view = self._fleet.get(group) if seats else None
        for seat in seats:
            instance = view.instance(seat.holder.instance) if view is not None else None
            if view is None or instance is None:
                self.seats.change(seat.holder, seat.attributes, accepting=False)
                continue
            self.seats.change(
                seat.holder,
                offer(view, instance, certified=seat.attributes.certified),
                accepting=accepts(instance),
                weight=instance.weight_hint,
            )

    async def _look_for_ready(self, hinted: bool) -> None:
        waiting = await self._database.read(waiting_queues)
        unknown = self._forms.unknown(queue_key for queue_key, _ in waiting)
        if unknown:
            for form_id, form in await self._database.read(lambda: read_forms(unknown)):
                self._forms.put(form_id, form)
        for queue_key, rank_at in waiting:
            # A hint may be our own come back: whoever was to be woken by it has been.
            if not (hinted and self._waiting.is_flagged(queue_key)):
                self._waiting.flag(queue_key, rank_at)

    async def _look_for_ended(self, _hinted: bool) -> None:
        await self._outcomes.look()

    async def _look_for_stopping(self, _hinted: bool) -> None:
        if len(self.seats) == 0:
            return
        for task_id, fence, holder in await self._database.read(reading.read_stopping):
            self._effects.stop_attempt(holder, task_id, fence)


def _settled(change: Change) -> Settled:
    after = change.after
    return Settled(after.task_id, after.state, change.duplicate, after.reason)


def _standing(change: Change) -> Standing:
    return Standing(change.after.task_id, change.after.state, change.after.lease_expires_at or 0)


def _forget_failure(future: "asyncio.Future[Any]") -> None:
    """Let a hint fail in silence: the lease it was about ends or goes on by the clock."""
    if not future.cancelled():
        future.exception()
