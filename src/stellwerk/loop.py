"""Background loops: kept running, woken, stopped, and asked how they are.

Theory of operation. A loop's body takes turns until `rest` tells it to end. It handles the failures that it
expects (the database is away); any other fault ends it, and is a bug. Such a fault is logged with its
traceback, and the body begins again after a pause that doubles from one second to thirty. The process is not
taken down: its other loops and its requests do their work, and a fault that comes with one row would take it
down for ever. But it is seen: from the fault until the next whole turn the loop is not well, and with it the
readiness of the process. The first rest after a fault is none, so that this is known at once.

A loop is not well either when its task has ended although nobody stopped it, and when a turn has been due for
longer than turns of this loop may take: it hangs. A loop that only waits to be woken is never due.

Stopping: a body that must finish its turns (they hold what would be lost) is only told; another is cancelled.
Wakes are hints and carry nothing; those that come during a turn lead to one more turn.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

TURN_S = 30.0
"""A turn takes milliseconds; what takes so long hangs, or waits for a database that hangs."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Between a fault and the next beginning: enough that a fault of every turn costs nothing."""

log = structlog.get_logger(__name__)


class Loop:
    """One background loop; see the module. All methods belong to the event loop."""

    def __init__(
        self,
        name: str,
        body: Callable[[], Awaitable[None]],
        *,
        turn_s: float = TURN_S,
        finishes: bool = False,
    ) -> None:
        """`turn_s`: how long one turn may take; `finishes`: whether a stop waits for the end of a turn."""
        self.name = name
        self.faults = 0
        """Faults that ended the body, since the process began."""
        self.hinted = False
        """Whether the last rest ended because somebody woke the loop, and not because time had passed."""
        self._body = body
        self._turn_s = turn_s
        self._finishes = finishes
        self._woken = asyncio.Event()
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._due_at: float | None = None
        self._fault: str | None = None
        self._rested = False

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped, and its task has not ended."""
        return self._task is not None and not self._task.done()

    @property
    def stopping(self) -> bool:
        """Whether the body is to end soon: one with long turns looks between their steps."""
        return self._told.is_set()

    def start(self) -> None:
        """Begin; again is no error."""
        if self._task is None:
            self._told.clear()
            self._task = asyncio.create_task(self._keep(), name=self.name)

    async def stop(self) -> None:
        """End; again is no error."""
        task, self._task = self._task, None
        if task is None:
            return
        self._told.set()
        self._woken.set()
        if not self._finishes:
            task.cancel()
        await asyncio.wait([task])

    def wake(self) -> None:
        """Let the next turn begin now, or after the present one; also before the start."""
        self._woken.set()

    async def rest(self, at_most_s: float | None = None) -> bool:
        """Wait until somebody wakes the loop or time has passed; return whether to go on. For the body."""
        self._turned(at_most_s)
        if not self._woken.is_set():
            await _wait(self._woken, at_most_s)
        self.hinted = self._woken.is_set()
        self._woken.clear()
        self.advance()
        return not self._told.is_set()

    async def pause(self, seconds: float) -> None:
        """Wait in the middle of a turn, whoever wakes the loop; only a stop cuts it short. For the body."""
        self._due_at = _now() + seconds + self._turn_s
        await _wait(self._told, seconds)
        self.advance()

    def waits(self) -> None:
        """Note that a turn is over and the body waits by means of its own, maybe for ever. For the body."""
        self._turned(None)

    def advance(self) -> None:
        """Note that a long turn goes on: it may take its time again from here. For the body."""
        self._due_at = _now() + self._turn_s

    def wrong(self) -> str | None:
        """Say what is wrong; None if the loop is well, or not meant to run."""
        if self._task is None:
            return None
        if self._task.done():
            return "it has ended although nobody stopped it"
        if self._fault is not None:
            return f"it ended by a fault and begins again: {self._fault}"
        late_s = 0.0 if self._due_at is None else _now() - self._due_at
        if late_s > 0:
            return f"it hangs: nothing was heard of it for {late_s + self._turn_s:.0f} s"
        return None

    def _turned(self, at_most_s: float | None) -> None:
        if self._fault is not None:
            if self._rested:
                self._fault = None
            else:
                self._woken.set()
        self._rested = True
        self._due_at = None if at_most_s is None else _now() + at_most_s + self._turn_s

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._told.is_set():
            self._rested = False
            self.advance()
            try:
                await self._body()
                return
            except Exception as error:
                if self._fault is None:
                    pause_s = FIRST_PAUSE_S
                self.faults += 1
                self._fault = f"{type(error).__name__}: {error}"
                log.exception("a loop ended by a fault; it begins again", loop=self.name, pause_s=pause_s)
            await self.pause(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _wait(event: asyncio.Event, at_most_s: float | None) -> None:
    if at_most_s is None:
        await event.wait()
        return
    # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the event.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(at_most_s):
            await event.wait()
