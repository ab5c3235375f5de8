"""The queue's use cases behind one door.

Theory of operation. Requests of the same moment share a unit of work (`admission`, `settlement`, `signs`), so
their cost falls with the load. What a unit decided is handed to `effects` after its commit: from there
wake-ups go to the dispatcher, to claimers, to those who wait for results, to holders and to other replicas.
What happens elsewhere arrives through `following`; time passes in `sweeper`. Nothing in memory is needed for
correctness: after a kill everything is found again in the database.
"""

import random
from collections.abc import Iterable, Sequence

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.fleet.service import Fleet
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import WorkSettings
from stellwerk.trust.principal import Principal
from stellwerk.work import reading
from stellwerk.work.admission import Admission
from stellwerk.work.balancing.catalogue import strategy_named
from stellwerk.work.cancelling import cancel_task, requeue_task
from stellwerk.work.claiming import Claimers
from stellwerk.work.clearing import clear_queue
from stellwerk.work.dispatch import Dispatcher
from stellwerk.work.effects import Effects
from stellwerk.work.entrusting import Entrusting
from stellwerk.work.following import Following
from stellwerk.work.forms import Forms
from stellwerk.work.late import LateResults
from stellwerk.work.lease import terms_of
from stellwerk.work.lifecycle import Change
from stellwerk.work.matching import Attributes
from stellwerk.work.outcomes import Outcomes
from stellwerk.work.parting import Parting
from stellwerk.work.picking import Picking
from stellwerk.work.priority import CLASSES
from stellwerk.work.refusals import InvalidPriority
from stellwerk.work.replicas import Replicas
from stellwerk.work.reporting import Report
from stellwerk.work.seats import Seat, Seats
from stellwerk.work.settlement import Settlement
from stellwerk.work.settling import (
    Begun,
    Done,
    Failed,
    Forgotten,
    HandedBack,
    Stopped,
    kept_result,
)
from stellwerk.work.signs import Signs
from stellwerk.work.submitting import prepare
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


class Work:
    """Submit, claim, report, settle, read. Every method may raise DatabaseUnavailable."""

    def __init__(
        self, database: Database, journal: Journal, fleet: Fleet, settings: WorkSettings, clock: Clock
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._terms = terms = terms_of(settings)
        self._waiting = waiting = WaitingQueues()
        self._outcomes = outcomes = Outcomes(database)
        forms = Forms()
        self._replicas = replicas = Replicas(database)
        self.seats = seats = Seats(forms.get, strategy_named(settings.strategy))
        """The connected holders; interfaces report load to them."""
        self.balancing = Balancing(database, seats, clock)
        """The balancing strategy in use."""
        self._effects = effects = Effects(
            waiting=waiting,
            seats=seats,
            outcomes=outcomes,
            replicas=replicas,
            committed=journal.committed,
            record_outcome=fleet.record_outcome,
        )
        self._admission = Admission(database, forms, effects, settings=settings, clock=clock)
        self._settlement = Settlement(database, effects, terms, clock)
        self._signs = Signs(database, seats, effects, terms=terms, settings=settings, clock=clock)
        self._following = Following(
            database,
            fleet,
            seats=seats,
            waiting=waiting,
            forms=forms,
            outcomes=outcomes,
            replicas=replicas,
            effects=effects,
        )
        self._dispatcher = Dispatcher(
            database,
            seats,
            waiting,
            self.hand_back_all,
            clock=clock,
            settings=settings,
            leased=effects.appended,
        )
        self.picking = Picking(
            database, waiting, forms, seats=seats, effects=effects, terms=terms, clock=clock
        )
        """Looking before taking."""
        self.parting = Parting(database, waiting, effects, terms=terms, clock=clock)
        """What becomes of the tasks of a holder that is gone for good."""
        self.late = LateResults(database, clock, settings.result_bytes)
        """Results that came when their task was given up."""
        self.entrusting = Entrusting(database, effects, outcomes, terms, settings=settings, clock=clock)
        """Tasks that are delivered by whoever submits them."""
        self.on_released = effects.on_released
        """Have a callback called with every task that no holder has any more, as it was and as it is."""
        self.on_delivered = waiting.on_delivered
        """Have a callback called with a group whose tasks wait to be delivered to it."""
        self._claimers = Claimers(waiting, forms, self.picking.take_heads, self.hand_back_all)
        self.sweeper = Sweeper(database, effects, forms, settings=settings, clock=clock)
        """The background pass; tests call it instead of waiting."""
        self._started = False

    # Beginning and end

    async def start(self) -> None:
        """Read what waits and begin to dispatch and sweep; may be called more than once."""
        if self._started:
            return
        self._started = True
        await self._admission.start()
        await self._following.start()
        await self.balancing.start()
        await self._dispatcher.start()
        await self.sweeper.start()

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return (self._dispatcher.loop, self.sweeper.loop, self.balancing.loop, *self._replicas.loops)

    async def stop(self) -> None:
        """Stop dispatching and sweeping, write what is pending; may be called more than once."""
        if not self._started:
            return
        self._started = False
        await self.sweeper.stop()
        await self._dispatcher.stop()
        await self.balancing.stop()
        await self._claimers.finish()
        for pending in (self._admission, self.entrusting, self._settlement, self._signs):
            await pending.finish()
        await self._effects.finish()
        await self._following.stop()

    # Those who give work

    async def submit(self, principal: Principal, submission: Submission) -> Submitted:
        """Queue a task; it is durable on return.

        Raises InvalidPriority, InvalidTask, IdempotencyConflict, QueueFull, TooManyForms.
        """
        step_us = int(self._settings.ageing_step_s * MICROSECONDS)
        task = prepare(principal.id, submission, self._clock.now_us(), step_us, self._terms)
        return await self._admission.submit(task)

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
        change = await self._admission.again(lambda: requeue_task(principal, task_id, now_us))
        self._signs.forget_log(task_id)
        return _settled(change)

    async def clear(self, principal: Principal, priority_class: str) -> int:
        """Cancel what waits now in a priority class (its lower-case name), in steps; return how many.

        The caller's right to do so is the interface's to check. Raises InvalidPriority.
        """
        if priority_class not in CLASSES:
            raise InvalidPriority(priority_class)
        return await clear_queue(self._database, self._effects, self._clock, self._terms, priority_class)

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
        self._following.catch_up(seat)
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
            self._signs.shorten(seat.holder)

    async def held(self, holder: Holder) -> list[Assignment]:
        """Return the leases that this holder has now (for a worker that comes back)."""
        return await self._database.read(lambda: reading.read_held(holder))

    async def acknowledge(self, holder: Holder, task_id: str, fence: int) -> Standing:
        """Record that the holder begins; durable on return. Again: the same answer.

        A holder starts a task that is not repeatable only after this. Raises UnknownTask, LeaseLost.
        """
        return _standing(await self._settlement.ask(Begun(holder, task_id, fence)))

    async def progress(
        self, holder: Holder, task_id: str, fence: int, fraction: float, note: str | None = None
    ) -> Standing:
        """Record how far the attempt is (0 to 1, never back) and renew the lease.

        Written with others, at most `flush_s` later; who does not want to wait for that lets it run as a
        task. Raises UnknownTask, LeaseLost.
        """
        return _standing(await self._signs.report(Report(holder, task_id, fence, fraction, note)))

    async def log(self, holder: Holder, task_id: str, fence: int, lines: Sequence[LogLine]) -> Standing:
        """Keep log lines and renew the lease; written as `progress` is. Raises UnknownTask, LeaseLost."""
        return _standing(await self._signs.report(Report(holder, task_id, fence, lines=tuple(lines))))

    async def heartbeat(self, holder: Holder) -> None:
        """Renew this holder's running leases; written with others, at most `flush_s` later."""
        self._signs.renew(holder)

    def renew(self, holder: Holder, task_id: str, fence: int, fraction: float | None = None) -> None:
        """Renew one lease soon, with its progress where that is known; nobody learns of a failure."""
        self._signs.note(Report(holder, task_id, fence, fraction))

    async def complete(
        self, holder: Holder, task_id: str, fence: int, result: str, *, limit_bytes: int | None = None
    ) -> Settled:
        """End the task with a result (JSON text) of at most `limit_bytes`, None: the setting.

        Raises UnknownTask, LeaseLost, ConflictingResult, TooLarge.
        """
        kept = kept_result(task_id, result=result, limit=limit_bytes or self._settings.result_bytes)
        return _settled(await self._settlement.ask(Done(holder, task_id, fence, kept)))

    async def fail(
        self,
        holder: Holder,
        task_id: str,
        fence: int,
        error: str,
        *,
        retryable: bool = True,
        timed_out: bool = False,
        limit_bytes: int | None = None,
    ) -> Settled:
        """End the attempt with an error (JSON text): retried later, failed or dead. Raises as `complete`."""
        kept = kept_result(task_id, error=error, limit=limit_bytes or self._settings.result_bytes)
        jitter = random.random()  # noqa: S311 (spreads retries, keeps no secret)
        return _settled(
            await self._settlement.ask(Failed(holder, task_id, fence, kept, retryable, jitter, timed_out))
        )

    async def hand_back(
        self, holder: Holder, task_id: str, fence: int, delay_s: float = 0.0, *, unsent: bool = False
    ) -> Settled:
        """Give the task back unfinished, to be given out again after `delay_s`; the attempt does not count.

        `unsent`: the holder never got it. Raises UnknownTask, LeaseLost, NotPossible for a running task that
        may run only once.
        """
        message = HandedBack(holder, task_id, fence, int(delay_s * MICROSECONDS), unsent)
        return _settled(await self._settlement.ask(message))

    async def forget(self, holder: Holder, task_id: str, fence: int, *, at_once: bool = False) -> Settled:
        """End the attempt of a holder that came back without it, as if its lease had ended.

        `at_once`: what may be repeated begins again without a pause.
        Raises UnknownTask, LeaseLost.
        """
        jitter = random.random()  # noqa: S311 (spreads retries, keeps no secret)
        return _settled(await self._settlement.ask(Forgotten(holder, task_id, fence, jitter, at_once)))

    async def hand_back_all(self, assignments: Sequence[Assignment]) -> None:
        """Give back what could not be handed over; leases that have ended meanwhile are left alone."""
        await self._settlement.hand_back_all(assignments)

    async def confirm_cancelled(self, holder: Holder, task_id: str, fence: int) -> Settled:
        """Record that the holder stopped as asked. Raises UnknownTask, LeaseLost, NotPossible."""
        return _settled(await self._settlement.ask(Stopped(holder, task_id, fence)))

    async def shorten(self, holders: Iterable[Holder]) -> None:
        """Let the leases of holders whose connection broke end within the reconnect grace."""
        await self._signs.shorten_all(holders)

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


def _settled(change: Change) -> Settled:
    after = change.after
    return Settled(after.task_id, after.state, change.duplicate, after.reason)


def _standing(change: Change) -> Standing:
    after = change.after
    return Standing(after.task_id, after.state, after.lease_expires_at or 0, after.reason)
