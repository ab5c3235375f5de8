"""Running functions: asynchronous ones as tasks of the event loop, synchronous ones in threads.

Threads are started as they are needed, at most as many as the worker's concurrency, and are daemons, so that
a function that hangs cannot keep the process from ending. A thread that finishes puts the outcome into a
queue and wakes the loop only if no other thread has done so since the loop last looked: under load one
wake-up brings many outcomes.

The outcome is an encoded frame, or None: the function was stopped because its context had been cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from stellwerk.sdk.context import Context
from stellwerk.sdk.errors import TaskCancelled
from stellwerk.sdk.exchange import Exchange
from stellwerk.sdk.functions import Function, failure_of, success
from stellwerk.sdk.wire import Frame

Outcome = bytes | None


class Run:
    """One call of a function."""

    __slots__ = ("begun", "coroutine", "exchange", "frame", "function")

    def __init__(self, frame: Frame, function: Function) -> None:
        self.frame = frame
        self.function = function
        self.exchange = Exchange()
        self.coroutine: asyncio.Task[None] | None = None
        self.begun = False


class Runner:
    """Starts runs and reports how they ended, on the event loop that made it."""

    def __init__(self, *, threads: int, result_bytes: int, ended: Callable[[Run, Outcome], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = threads
        self._result_bytes = result_bytes
        self._ended = ended
        self._jobs: SimpleQueue[Run | None] = SimpleQueue()
        self._done: deque[tuple[Run, Outcome]] = deque()
        self._woken = False
        self._threads = 0
        self._busy = 0

    def start(self, run: Run) -> None:
        """Begin a run; synchronous ones wait while all threads are busy."""
        if run.function.asynchronous:
            run.coroutine = self._loop.create_task(self._await(run))
            return
        self._busy += 1
        if self._busy > self._threads and self._threads < self._limit:
            self._threads += 1
            name = f"stellwerk-worker-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put(run)

    def interrupt(self, run: Run) -> None:
        """Cancel a coroutine; a thread can only be asked, by its context."""
        # One that has not begun would never come to report its end; it looks at its cancellation when it
        # begins.
        if run.coroutine is not None and run.begun:
            run.coroutine.cancel()

    def close(self) -> None:
        """Let idle threads end. Those that still work end with the process."""
        for _ in range(self._threads):
            self._jobs.put(None)

    async def _await(self, run: Run) -> None:
        outcome: Outcome
        run.begun = True
        try:
            outcome = success(run.frame, await run.function.call(_begin(run)), self._result_bytes)
        except (asyncio.CancelledError, Exception) as fault:  # whatever the function raises is its outcome
            outcome = _outcome_of(run, fault)
        self._ended(run, outcome)

    def _work(self) -> None:
        while (run := self._jobs.get()) is not None:
            outcome: Outcome
            try:
                outcome = success(run.frame, run.function.call(_begin(run)), self._result_bytes)
            except BaseException as fault:  # a thread has nobody above it; SystemExit fails the task as well
                outcome = _outcome_of(run, fault)
            self._done.append((run, outcome))
            if not self._woken:
                self._woken = True
                try:
                    self._loop.call_soon_threadsafe(self._collect)
                except RuntimeError:
                    return  # the loop is closed: the worker has ended without this one

    def _collect(self) -> None:
        # Cleared first: an outcome that is appended from here on wakes again.
        self._woken = False
        while self._done:
            run, outcome = self._done.popleft()
            self._busy -= 1
            self._ended(run, outcome)


def _begin(run: Run) -> Context:
    context = Context(run.frame, run.exchange)
    context.raise_if_cancelled()
    return context


def _outcome_of(run: Run, fault: BaseException) -> Outcome:
    if run.exchange.cancelled and isinstance(fault, TaskCancelled | asyncio.CancelledError):
        return None
    return failure_of(run.frame, fault)
