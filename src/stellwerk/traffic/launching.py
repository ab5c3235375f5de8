"""Deliveries in the background: each is a task of its own, and goes on when its caller hangs up.

What an agent promised to report is written a little later, with others: most executions have ended by then,
and need no write.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.traffic import store
from stellwerk.traffic.flights import Flight
from stellwerk.work.grouping import Grouper

PROMISES_APART_S = 0.5
STOP_S = 5.0
"""How long a stop waits for agents that are answering; what is still under way then is found at the start."""

_log = structlog.get_logger(__name__)


class Launching:
    """See the module. All methods belong to the event loop."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._delivering: set[asyncio.Task[None]] = set()
        self._promises: Grouper[Flight, None] = Grouper(
            self._write_promises, most=1_000, under_way=1, apart_s=PROMISES_APART_S
        )
        self.deliver: Callable[[Flight], Awaitable[None]] | None = None
        """What delivers; it needs us, and is put in place before anything is launched."""

    def launch(self, flight: Flight) -> None:
        """Deliver an execution in the background."""
        task = asyncio.create_task(self._deliver(flight))
        self._delivering.add(task)
        task.add_done_callback(self._delivered)

    def promised(self, flight: Flight) -> None:
        """Note that an agent promised to report."""
        self._promises.ask(flight).add_done_callback(_forget_failure)

    async def stop(self) -> None:
        """Wait a moment for agents that are answering, and write what was promised. Idempotent."""
        if self._delivering:
            _, late = await asyncio.wait(self._delivering, timeout=STOP_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self.settle()

    async def settle(self) -> None:
        """Write what was promised so far."""
        await self._promises.finish()

    def break_off(self) -> None:
        """End every delivery where it is; tests do so in the place of a kill."""
        for task in self._delivering:
            task.cancel()

    async def _deliver(self, flight: Flight) -> None:
        if self.deliver is None:
            raise RuntimeError("nothing delivers yet")
        await self.deliver(flight)

    def _delivered(self, task: "asyncio.Task[None]") -> None:
        self._delivering.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("an execution could not be delivered; it is left to the watch", exc_info=fault)

    async def _write_promises(self, flights: Sequence[Flight]) -> Sequence[Exception | None]:
        lasting = [(one.id, one.version) for one in flights if one.ended is None and one.accepted]
        if lasting:
            now_us = self._clock.now_us()
            await self._database.write(lambda: store.write_accepted(lasting, now_us))
        return [None] * len(flights)


def _forget_failure(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
