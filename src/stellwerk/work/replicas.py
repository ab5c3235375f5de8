"""Hints between replicas, and the polls that make them unnecessary for correctness.

Theory of operation. Three things concern other replicas: tasks became ready, tasks ended, holders were
asked to stop. A hint carries nothing; whoever gets it looks for itself. Who sends it does not look: it has
acted already. Hints of the same moment are one (`NOTIFY` serialises commits); the database gathers them. On
SQLite there are no other replicas: nothing is sent, and the poll only catches what a commit in doubt left
behind. A look that takes long is made less often, so that looking never takes more than a share of the time:
that pause is also what a hint may have to wait for.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence

import structlog

from stellwerk.database.database import Database, Unlisten
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.loop import Loop

READY = "work.ready"
ENDED = "work.ended"
STOPPING = "work.stopping"

_POLL_S = 1.0
_POLL_ALONE_S = 10.0
_SHORT_S, _SHORT_PAUSE, _LONG_PAUSE = 0.01, 3, 20
"""A look is followed by a pause of so many times its length. A short one waits for the database and costs
this process next to nothing; with 20 as for long ones a task on its way to another replica waited 40 ms at
the median. A long one has found very many queues, and goes through them here; or the database was slow just
once, and then nobody should wait for longer than without hints."""

_log = structlog.get_logger(__name__)

Look = Callable[[bool], Awaitable[None]]
"""Is told whether a hint led to it, or only time."""


class Replicas:
    """Sends hints, and looks when one arrives or time has passed. Start and stop are idempotent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._alone = database.engine == "sqlite"
        self._loops: dict[str, Loop] = {}
        self._unlisten: list[Unlisten] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: set[str] = set()

    def look_for(self, channel: str, look: Look) -> None:
        """Name what is done on a hint. Before the start."""
        loop = self._loops[channel] = Loop(channel, lambda: self._poll(loop, look))

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return tuple(self._loops.values())

    def ready(self) -> None:
        """Tasks became ready."""
        self._send(READY)

    def ended(self) -> None:
        """Tasks ended."""
        self._send(ENDED)

    def stopping(self) -> None:
        """Holders that are not connected here are asked to stop."""
        self._send(STOPPING)

    async def start(self) -> None:
        """Listen and poll."""
        for channel, loop in self._loops.items():
            if not self._alone and not loop.running:
                self._unlisten.append(self._database.listen(channel, loop.wake))
            loop.start()

    async def stop(self) -> None:
        """Look no more."""
        while self._unlisten:
            self._unlisten.pop()()
        await asyncio.gather(*(loop.stop() for loop in self._loops.values()))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(self, channel: str) -> None:
        if self._alone or channel in self._due:
            return
        self._due.add(channel)
        asyncio.get_running_loop().call_soon(self._send_now, channel)

    def _send_now(self, channel: str) -> None:
        self._due.discard(channel)
        self._keep(self._notify(channel))

    async def _notify(self, channel: str) -> None:
        try:
            await self._database.notify(channel, here=False)
        except DatabaseUnavailable as unavailable:
            _log.debug("a hint was not sent", channel=channel, detail=unavailable.detail)

    async def _poll(self, loop: Loop, look: Look) -> None:
        pause_s = _POLL_ALONE_S if self._alone else _POLL_S
        while await loop.rest(pause_s):
            began = time.monotonic()
            try:
                await look(loop.hinted)
            except DatabaseUnavailable as unavailable:
                _log.debug("a look was put off", detail=unavailable.detail)
            took_s = time.monotonic() - began
            await loop.pause(min(took_s * (_SHORT_PAUSE if took_s < _SHORT_S else _LONG_PAUSE), _POLL_S))
