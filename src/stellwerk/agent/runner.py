"""The runner: decides whether a task runs, carries it from delivery to acknowledged result, and never twice.

Theory of operation. Each delivered task has one `Run` and one asyncio task until the server knows its end:

    received (on disk) → a free place → accepted (the server wrote it down) → started (on disk)
      → executor → finished (on disk) → completed (the server wrote it down) → settled (on disk)

Nothing is done before *accepted*, so a lease that was given to somebody else meanwhile is not worked on; and
before *started*, so that a later process knows what may have begun. A task that is delivered again while it
is in hand goes on under the newer delivery; one whose end is known is answered with that end. After a restart
a received task is given back, a started one is adopted through its executor, a finished one is told.

The places are limited; what waits for one is not accepted, so its lease returns by itself if that takes long.
Coroutines are cancelled only when the process ends: executors then leave things as they stand, for adoption.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from stellwerk.agent import outcome as outcomes
from stellwerk.agent.clock import SECOND, Clock
from stellwerk.agent.executors import refusal
from stellwerk.agent.executors.executor import (
    CLEANUP_LIMIT_S,
    Cancelled,
    Executor,
    Failed,
    Job,
    Result,
    TimedOut,
)
from stellwerk.agent.journal import Entry, Journal, State
from stellwerk.agent.masking import Masks
from stellwerk.agent.narration import Narration
from stellwerk.agent.outcome import Outcome
from stellwerk.agent.run import Phase, Run, delivery_of, job_of
from stellwerk.agent.settings import AgentSettings
from stellwerk.agent.transport import Refused
from stellwerk.agent.uplink import Delivery, Uplink
from stellwerk.agent.wire import Task

_log = logging.getLogger("stellwerk.agent")

CANCELLED = "task.cancelled"
"""Code of a refused acceptance that the server waits to be answered."""
ADOPTION_SHORTEST_S = 10.0
"""An adopted task whose time is nearly over gets this long to find out what became of it."""


class GiveBack(Exception):
    """Nothing was begun, and it cannot be begun here now: the server shall hand it out again."""


class Runner:
    """Owns every task that this agent holds."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        journal: Journal,
        uplink: Uplink,
        settings: AgentSettings,
        clock: Clock,
    ) -> None:
        self._executors = executors
        self._journal = journal
        self._uplink = uplink
        self._settings = settings
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(settings.max_tasks)
        self._draining = False
        self._declined: set[str] = set()
        self._denied: set[str] = set()
        self.on_change: Callable[[], None] = lambda: None
        """Called when a place has become free."""

    @property
    def held(self) -> list[Run]:
        """Every task in hand, the server's view of it included."""
        return list(self._runs.values())

    @property
    def running(self) -> int:
        """Tasks that take a place or wait for one."""
        return sum(run.phase is not Phase.REPORTING for run in self._runs.values())

    @property
    def has_room(self) -> bool:
        """Whether another task could begin at once."""
        return not self._draining and self.running < self._settings.max_tasks

    async def recover(self) -> None:
        """Take up what an earlier process left; to be called before tasks are offered."""
        await self._journal.prune(self._clock.now_us(), self._settings.keep_days)
        for entry in await self._journal.unsettled():
            _log.info("taking up %s, which is %s", entry.task_id, entry.state)
            self._begin(self._run_of(entry))

    def offer(self, task: Task) -> None:
        """Take a delivery; one that is known already starts nothing."""
        run = self._runs.get(task.task_id)
        if run is not None and run.entry is not None and run.phase is Phase.WAITING:
            # Being given back, because an earlier process left it: here it is again, credentials and all.
            self._withdraw(run)
            run = None
        if run is None:
            if self._draining:
                self._decline(delivery_of(task))
            else:
                self._begin(self._run_of(task))
        elif (task.attempt, task.lease) > (run.delivery.attempt, run.delivery.lease):
            run.delivery = delivery_of(task)
            if run.phase is Phase.RUNNING:
                self._spawn(self._go_on(run, run.delivery))

    def cancel(self, task_id: str) -> None:
        """Ask a task to stop; one that is not in hand is said to have stopped."""
        run = self._runs.get(task_id)
        if run is None:
            # The server waits for a confirmation, and says so again until it has one.
            if task_id not in self._denied:
                self._denied.add(task_id)
                self._spawn(self._deny(task_id))
            return
        run.cancelled.set()
        if run.phase is Phase.WAITING:
            self._withdraw(run)
            self._spawn(self._tell_unbegun(run))

    async def drain(self, limit_s: float) -> bool:
        """Take nothing new, give back what has not begun, wait for the rest; tell whether all is told."""
        self._draining = True
        for run in self.held:
            if run.phase is Phase.WAITING:
                self._withdraw(run)
                self._decline(run.delivery)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._carrying:
                    await asyncio.wait(set(self._carrying), return_when=asyncio.FIRST_COMPLETED)
        return not self._runs

    async def close(self) -> None:
        """End every coroutine; what runs is left as it stands, for the next process."""
        carrying = list(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    def _run_of(self, known: Task | Entry) -> Run:
        entry = known if isinstance(known, Entry) else None
        masks = Masks({} if isinstance(known, Entry) else known.credentials)
        task_id = known.task_id

        def say(message: dict[str, Any]) -> None:
            run = self._runs.get(task_id)
            if run is not None:
                self._uplink.say({**message, "taskId": task_id, "lease": run.delivery.lease})

        return Run(
            delivery=delivery_of(known),
            job=job_left(known, self._clock.now_us()) if isinstance(known, Entry) else job_of(known),
            idempotent=known.idempotent,
            masks=masks,
            narration=Narration(task_id, masks, say, self._clock, entry.restarts + 1 if entry else 0),
            # Lines of an earlier process may be lost, so the rest goes with the completion.
            generation=-1 if entry else self._uplink.generation,
            phase=Phase.RUNNING if entry and entry.state is not State.RECEIVED else Phase.WAITING,
            entry=entry,
        )

    def _begin(self, run: Run) -> None:
        self._runs[run.job.task_id] = run
        run.carrying = self._spawn(self._carry(run))

    def _withdraw(self, run: Run) -> None:
        """Let go of a task that has not begun."""
        if run.carrying is not None:
            run.carrying.cancel()
        self._runs.pop(run.job.task_id, None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._carrying.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._carrying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("carrying a task broke off", exc_info=error)

    async def _carry(self, run: Run) -> None:
        try:
            await self._through(run)
        except sqlite3.Error as error:
            # Nothing was begun: what comes after that does not depend on the disk any more.
            _log.error("the task journal does not take %s: %s", run.job.task_id, error)
            await self._uplink.release(run.delivery)
        finally:
            if self._runs.get(run.job.task_id) is run:
                del self._runs[run.job.task_id]
            self.on_change()

    async def _through(self, run: Run) -> None:
        if run.entry is None and not await self._recall(run):
            return
        if run.entry is not None and run.entry.state is not State.STARTED:
            run.outcome = run.entry.outcome or await self._give_back(run)
            if run.outcome is None:
                return
        if run.outcome is None:
            async with self._places:
                if run.entry is None and not await self._accept(run):
                    return
                run.outcome = await self._work(run)
            if run.outcome is None:
                return
        await self._write_down(run, run.outcome)
        await self._tell(run, run.outcome)

    async def _recall(self, run: Run) -> bool:
        """Look up what is known of a delivered task; tell whether there is anything to do."""
        known = await self._journal.find(run.job.task_id)
        if known is None:
            return True
        if known.attempt > run.delivery.attempt:
            _log.info("%s attempt %d is over", run.job.task_id, run.delivery.attempt)
            return False
        if known.state is State.STARTED or known.attempt == run.delivery.attempt:
            # Begun by somebody who could not go on, or a late copy of a delivery that ended long ago.
            run.entry = known if known.state is not State.RECEIVED else None
        return True

    async def _accept(self, run: Run) -> bool:
        """Make a new task ours, here and on the server; tell whether it is to be begun or answered."""
        run.phase = Phase.ACCEPTING
        task_id = run.job.task_id
        await self._journal.received(_entry_of(run), self._clock.now_us())
        refused, delivery = await self._uplink.accept(run.delivery), run.delivery
        while refused is not None and delivery != run.delivery:
            # Handed out again while the older delivery was being accepted.
            delivery = run.delivery
            refused = await self._uplink.accept(delivery)
        if refused is not None and refused.code == CANCELLED:
            run.cancelled.set()
        elif refused is not None:
            _log.info("%s is not for us any more: %s", task_id, refused)
            await self._journal.forget(task_id)
            return False
        await self._journal.leased(task_id, run.delivery.attempt, run.delivery.lease)
        if run.cancelled.is_set():
            run.outcome = outcomes.cancelled()
            return True
        await self._journal.started(task_id, self._clock.now_us())
        return True

    async def _work(self, run: Run) -> Outcome | None:
        """Bring the task to its end; None when it was given back."""
        if run.outcome is not None:
            return run.outcome
        run.phase = Phase.RUNNING
        if run.entry is not None:
            with contextlib.suppress(sqlite3.Error):
                await self._journal.resumed(run.job.task_id)
        try:
            return await self._execute(run)
        except GiveBack:
            # Written down before the server knows: it may hand the task out again before it answers.
            await self._journal.unbegun(run.job.task_id)
            run.phase = Phase.WAITING
            return await self._give_back(run)
        finally:
            run.narration.close()

    async def _give_back(self, run: Run) -> Outcome | None:
        """Hand back what was not begun; where the server does not take it, say how it ended."""
        refused = await self._uplink.release(run.delivery)
        if refused is not None:
            _log.warning("%s cannot be given back: %s", run.job.task_id, refused)
            return outcomes.restarted()
        with contextlib.suppress(sqlite3.Error):
            await self._journal.forget(run.job.task_id)
        return None

    async def _execute(self, run: Run) -> Outcome:
        job, masks = run.job, run.masks
        _log.info("%s (%s, attempt %d) begins", job.task_id, job.task_type, job.attempt)
        try:
            # The executor keeps the time itself and cleans up; this is for one that does not.
            async with asyncio.timeout(job.timeout_s + CLEANUP_LIMIT_S):
                ended = outcomes.succeeded(await self._result(run), masks)
        except Cancelled:
            ended = outcomes.cancelled()
        except (TimedOut, TimeoutError) as error:
            ended = outcomes.timed_out(masks.hide(str(error)) or f"it took longer than {job.timeout_s:g} s")
        except Failed as failure:
            ended = outcomes.failed(failure, masks)
        except GiveBack:
            raise
        except Exception as error:  # An executor's fault is the task's failure, not the agent's.
            _log.exception("the executor of %s broke", job.task_type)
            ended = outcomes.failed(Failed("agent.internal", f"{type(error).__name__}: {error}"), masks)
        _log.info("%s ends: %s", job.task_id, "done" if ended["success"] else ended["error"])
        return ended

    async def _result(self, run: Run) -> Result:
        executor = self._executors.get(run.job.task_type)
        if executor is None:
            raise Failed("task.unsupported", refusal(run.job.task_type))
        if faults := executor.check(run.job.task_type, run.job.payload):
            raise Failed("parameters.invalid", "; ".join(faults), result={"faults": faults})
        if run.entry is not None:
            adopted = await executor.adopt(run.job, run.narration, run.cancelled)
            if adopted is not None:
                return adopted
            if run.entry.credentialed and not run.job.credentials:
                # What it needs to be run again was never written down; the server has it.
                raise GiveBack
        return await executor.run(run.job, run.narration, run.cancelled)

    async def _write_down(self, run: Run, ended: Outcome) -> None:
        run.phase = Phase.REPORTING
        self.on_change()
        try:
            await self._journal.finished(run.job.task_id, ended, self._clock.now_us())
        except sqlite3.Error as error:
            # The work is done and cannot be undone by a full disk: tell it from memory.
            _log.error("the outcome of %s is not on disk: %s", run.job.task_id, error)

    async def _tell(self, run: Run, ended: Outcome) -> None:
        run.phase = Phase.REPORTING
        refused: Refused | None = None
        delivery: Delivery | None = None
        while delivery != run.delivery:
            # Handed out again while we told: the newer delivery wants the same answer.
            delivery = run.delivery
            unbroken = self._uplink.has_stream and run.generation == self._uplink.generation
            by_stream = unbroken and outcomes.fits_stream(ended)
            logs = None if by_stream else outcomes.last_lines(run.narration.lines)
            refused = await self._uplink.complete(delivery, ended, logs)
        if refused is not None:
            _log.error("the server does not take the outcome of %s: %s", run.job.task_id, refused)
        with contextlib.suppress(sqlite3.Error):
            await self._journal.settled(run.job.task_id)

    async def _go_on(self, run: Run, delivery: Delivery) -> None:
        """Take on the newer delivery of work that is under way."""
        await self._journal.leased(delivery.task_id, delivery.attempt, delivery.lease)
        refused = await self._uplink.accept(delivery)
        if refused is not None:
            _log.info("attempt %d of %s is taken back: %s", delivery.attempt, delivery.task_id, refused)

    async def _tell_unbegun(self, run: Run) -> None:
        await self._uplink.complete(run.delivery, outcomes.cancelled(), [])
        if run.entry is not None:
            await self._journal.forget(run.job.task_id)

    async def _deny(self, task_id: str) -> None:
        try:
            await self._uplink.deny(task_id)
        finally:
            self._denied.discard(task_id)

    def _decline(self, delivery: Delivery) -> None:
        # Once a task: a server that hands it out to us again at once would make a circle of it.
        if delivery.task_id not in self._declined:
            self._declined.add(delivery.task_id)
            self._spawn(self._release(delivery))

    async def _release(self, delivery: Delivery) -> None:
        await self._uplink.release(delivery)


def _entry_of(run: Run) -> Entry:
    return Entry(
        task_id=run.job.task_id,
        attempt=run.delivery.attempt,
        lease=run.delivery.lease,
        state=State.RECEIVED,
        task_type=run.job.task_type,
        payload=dict(run.job.payload),
        credentialed=bool(run.job.credentials),
        idempotent=run.idempotent,
        timeout_s=run.job.timeout_s,
        started_at=None,
        outcome=None,
        restarts=0,
    )


def job_left(entry: Entry, now_us: int) -> Job:
    """Make the job that an earlier process left, with the time that is left of it."""
    elapsed_s = 0.0 if entry.started_at is None else max(0, now_us - entry.started_at) / SECOND
    left_s = max(ADOPTION_SHORTEST_S, entry.timeout_s - elapsed_s)
    return Job(entry.task_id, entry.attempt, entry.task_type, entry.payload, {}, left_s)
