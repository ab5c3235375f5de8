"""The leases that a worker holds, and what it says about them.

A lease is *waiting* (not repeatable: accepted, but not begun before the server says that the start is
durable), *running*, or *finished* (its outcome was sent, or will be, and is kept until `task_settled` says
that it is durable). It leaves the table when it is settled or lost. Only the table counts: after a broken
connection `resume` says everything again from it (which leases are held, what was accepted, progress, lines,
outcomes), and the server takes repetitions for what they are. A lease that is delivered twice is run once; a
lease with a higher number replaces the older one of the same task.

Time is the event loop's. While something is held, a beat every `BEAT_S` accepts repeatable tasks that run for
longer than `accept_after_s`, sends progress and log lines that gathered, and sends outcomes again that nobody
settled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from enum import Enum, auto

from stellwerk.sdk.functions import Functions, failure, instead_of
from stellwerk.sdk.lines import Lines
from stellwerk.sdk.options import WorkerOptions
from stellwerk.sdk.outbox import Outbox
from stellwerk.sdk.running import Outcome, Run, Runner
from stellwerk.sdk.wire import (
    Accept,
    Cancelled,
    Frame,
    Heartbeat,
    Hello,
    Lease,
    Log,
    Progress,
    Release,
    encode,
)

_log = logging.getLogger("stellwerk.worker")

BEAT_S = 0.05
NOTES_EVERY = 4
"""Beats between two sendings of progress and lines: a fifth of a second is soon enough for a person."""
RESEND_S = 30.0
"""An outcome that is not settled after this is said again."""
REFUSALS = 5
"""So often may the server fail at an outcome before another one is tried."""

STOPPING = "worker_stopping"
LOST = "lease_lost"


class Phase(Enum):
    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


class Held:
    """One lease."""

    __slots__ = (
        "accepted",
        "confirmed",
        "lines",
        "outcome",
        "pardons",
        "phase",
        "refusals",
        "resend_at",
        "run",
        "since",
    )

    def __init__(self, run: Run, phase: Phase, now: float) -> None:
        self.run = run
        self.lines = Lines(run.exchange)
        self.phase = phase
        self.since = now
        self.accepted = False
        self.confirmed = False
        self.outcome = b""
        self.pardons = 0
        """How many `lease_lost` may be answers to what was said before the outcome, and say nothing of it."""
        self.resend_at = 0.0
        self.refusals = 0


class Holdings:
    """Takes the server's frames, runs functions, and puts the worker's frames into the outbox."""

    def __init__(self, functions: Functions, options: WorkerOptions, outbox: Outbox) -> None:
        self._functions = functions
        self._options = options
        self._outbox = outbox
        self._loop = asyncio.get_running_loop()
        self._runner = Runner(
            threads=options.concurrency, result_bytes=options.max_result_bytes, ended=self._ended
        )
        self._held: dict[str, Held] = {}
        self._beating = False
        self._beats = 0
        self.stopping = False
        """Whether nothing new is taken any more."""
        self._hurried = False
        self.changed = asyncio.Event()
        """Set whenever a lease is finished or leaves the table."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def unfinished(self) -> int:
        """How many tasks wait or run."""
        return sum(held.phase is not Phase.FINISHED for held in self._held.values())

    def running(self, older_than_s: float) -> Iterator[tuple[str, int]]:
        """Yield task id and lease of what has been held for some time and is not finished."""
        until = self._loop.time() - older_than_s
        for task_id, held in list(self._held.items()):
            if held.phase is not Phase.FINISHED and held.since < until:
                yield task_id, held.run.frame.lease

    def take(self, frames: list[Frame]) -> None:
        """Act on frames from the server, in their order."""
        for frame in frames:
            match frame.type:
                case "task_assigned":
                    self._assigned(frame)
                case "task_settled":
                    self._settled(frame)
                case "task_started":
                    self._started(frame)
                case "task_cancel":
                    self._cancel(frame)
                case "lease_lost":
                    self._lost(frame)
                case "error":
                    self._refused(frame)
                case _:
                    pass  # the link's business, or newer than this worker

    def resume(self) -> None:
        """Say everything that a new connection has to know."""
        leases = [Lease(task_id, held.run.frame.lease) for task_id, held in self._held.items()]
        self._outbox.put(encode(Hello(leases)))
        for held in self._held.values():
            frame = held.run.frame
            held.lines.recall()
            if held.phase is Phase.FINISHED:
                # Ended for the server if only the word of it was lost: `hello` and notes are then in vain,
                # and the answer to the outcome will tell.
                held.pardons = 1 + self._send_notes(held)
                self._send_outcome(held)
                continue
            held.accepted = held.confirmed
            if held.phase is Phase.WAITING:
                self._accept(held)
            if held.run.exchange.reported is not None:
                self._send_progress(frame, held.run.exchange.reported)

    def _find(self, frame: Frame) -> Held | None:
        held = self._held.get(frame.task_id)
        return held if held is not None and held.run.frame.lease == frame.lease else None

    def _assigned(self, frame: Frame) -> None:
        known = self._held.get(frame.task_id)
        if known is not None:
            if known.run.frame.lease >= frame.lease:
                return
            self._drop(known, LOST)
        function = self._functions.find(frame.task_type)
        if self.stopping:
            self._outbox.put(encode(Release(frame.task_id, frame.lease)))
            return
        if function is None:
            # Retryable, because in a mixed fleet another worker may have the function.
            text = f"this worker has no function for tasks of the type {frame.task_type!r}"
            self._outbox.put(failure(frame, text, retryable=True))
            return
        held = Held(
            Run(frame, function), Phase.RUNNING if frame.repeatable else Phase.WAITING, self._loop.time()
        )
        self._held[frame.task_id] = held
        if frame.repeatable:
            self._runner.start(held.run)
        else:
            self._accept(held)
        if not self._beating:
            self._beating = True
            self._loop.call_later(BEAT_S, self._beat)

    def _started(self, frame: Frame) -> None:
        held = self._find(frame)
        if held is None:
            return
        held.confirmed = True
        if held.phase is not Phase.WAITING:
            return
        if frame.state == "cancelling":
            self._finish(held, encode(Cancelled(frame.task_id, frame.lease)))
            return
        held.phase = Phase.RUNNING
        self._runner.start(held.run)

    def _settled(self, frame: Frame) -> None:
        held = self._find(frame)
        if held is None:
            return
        if held.phase is not Phase.FINISHED:
            self._drop(held, LOST)
        del self._held[frame.task_id]
        self.changed.set()

    def _cancel(self, frame: Frame) -> None:
        held = self._find(frame)
        if held is None:
            # Not held (any more): say so, or the server waits for a confirmation until the lease ends.
            self._outbox.put(encode(Cancelled(frame.task_id, frame.lease)))
        elif held.phase is Phase.WAITING:
            self._finish(held, encode(Cancelled(frame.task_id, frame.lease)))
        elif held.phase is Phase.RUNNING:
            held.run.exchange.cancel(frame.reason or "cancelled")
            self._runner.interrupt(held.run)

    def _lost(self, frame: Frame) -> None:
        held = self._find(frame)
        if held is None:
            return
        if held.pardons:
            held.pardons -= 1
            return
        _log.warning("the lease on task %s was lost: %s", frame.task_id, frame.detail)
        self._drop(held, LOST)
        del self._held[frame.task_id]
        self.changed.set()

    def _refused(self, frame: Frame) -> None:
        held = self._held.get(frame.task_id)
        if held is None or held.phase is not Phase.FINISHED:
            _log.info(
                "the control plane refused a frame about task %s: %s", frame.task_id or "-", frame.detail
            )
            return
        _log.warning("the control plane refused the outcome of task %s: %s", frame.task_id, frame.detail)
        held.refusals += 1
        if frame.code == "unavailable" or (frame.code is None and held.refusals < REFUSALS):
            pause_s = frame.retry_after_s or min(RESEND_S, 2.0 ** min(held.refusals, 10))
            held.resend_at = self._loop.time() + pause_s
            return
        instead = instead_of(held.outcome, held.run.frame, frame)
        if instead is None:
            del self._held[frame.task_id]
            self.changed.set()
            return
        held.outcome, held.refusals = instead, 0
        self._send_outcome(held)

    def _drop(self, held: Held, reason: str) -> None:
        """Let a run go whose outcome nobody wants."""
        held.phase = Phase.FINISHED
        held.run.exchange.cancel(reason)
        self._runner.interrupt(held.run)

    def _ended(self, run: Run, outcome: Outcome) -> None:
        held = self._held.get(run.frame.task_id)
        if held is None or held.run is not run or held.phase is not Phase.RUNNING:
            return
        if outcome is not None:
            self._finish(held, outcome)
        elif run.exchange.cancel_reason == STOPPING:
            self._give_back(held)
        else:
            self._finish(held, encode(Cancelled(run.frame.task_id, run.frame.lease)))

    def _finish(self, held: Held, outcome: bytes) -> None:
        held.phase = Phase.FINISHED
        held.outcome = outcome
        self.changed.set()
        self._send_notes(held)
        self._send_outcome(held)

    def _send_outcome(self, held: Held) -> None:
        held.resend_at = self._loop.time() + RESEND_S
        self._outbox.put(held.outcome)

    def _accept(self, held: Held) -> None:
        held.accepted = True
        self._outbox.put(encode(Accept(held.run.frame.task_id, held.run.frame.lease)))

    def _send_notes(self, held: Held) -> int:
        """Send what was noted; return in how many frames."""
        if not self._outbox.is_open:
            return 0  # What is noted now is said with the next connection.
        exchange, frame = held.run.exchange, held.run.frame
        frames = 0
        while lines := held.lines.take(self._loop.time()):
            self._outbox.put(encode(Log(frame.task_id, frame.lease, lines)))
            frames += 1
        if exchange.noted and exchange.reported is not None:
            exchange.noted = False
            self._send_progress(frame, exchange.reported)
            frames += 1
        return frames

    def _send_progress(self, frame: Frame, reported: tuple[float, str | None]) -> None:
        self._outbox.put(encode(Progress(frame.task_id, frame.lease, *reported)))

    def _beat(self) -> None:
        if not self._held:
            self._beating = False
            return
        self._loop.call_later(BEAT_S, self._beat)
        now = self._loop.time()
        self._beats += 1
        notes = self._beats % NOTES_EVERY == 0
        for held in self._held.values():
            if held.phase is Phase.FINISHED:
                if held.resend_at < now:
                    held.pardons = 0
                    self._send_outcome(held)
                continue
            if not held.accepted and now - held.since >= self._options.accept_after_s:
                self._accept(held)
            if notes:
                self._send_notes(held)

    async def drain(self, limit_s: float, settle_s: float) -> None:
        """Take nothing new, wait `limit_s` for what runs, give back the rest, wait until it is settled."""
        self.stopping = True
        # Inactive agents get nothing new; joining again makes them active.
        self._outbox.put(encode(Heartbeat({"active_tasks": float(len(self))}, "inactive")))
        for held in list(self._held.values()):
            if held.phase is Phase.WAITING:
                self._give_back(held)
        await self._until(lambda: self._hurried or not self.unfinished, limit_s)
        self.interrupt()
        # One turn for those that stop at once, so that what they logged is still sent.
        await asyncio.sleep(BEAT_S)
        for held in list(self._held.values()):
            if held.phase is not Phase.FINISHED:
                self._give_back(held)
        await self._until(lambda: not self._held, settle_s)
        self._runner.close()

    def interrupt(self) -> None:
        """Ask everything that runs to stop, because the worker does."""
        for held in self._held.values():
            if held.phase is not Phase.FINISHED:
                held.run.exchange.cancel(STOPPING)
                self._runner.interrupt(held.run)

    def hurry(self) -> None:
        """Give back at once what `drain` would still wait for."""
        self._hurried = True
        self.changed.set()

    async def _until(self, reached: Callable[[], bool], limit_s: float) -> None:
        until = self._loop.time() + limit_s
        while not reached() and (left_s := until - self._loop.time()) > 0:
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), left_s)

    def _give_back(self, held: Held) -> None:
        frame = held.run.frame
        if held.run.frame.repeatable or held.phase is Phase.WAITING:
            self._finish(held, encode(Release(frame.task_id, frame.lease)))
        else:
            self._finish(
                held, failure(frame, "the worker was stopped before the task was done", retryable=False)
            )
