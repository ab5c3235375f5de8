"""Put requests of the same moment into one unit of work.

Theory of operation. Requests that arrive while the loop runs once are handled together; while as many
groups as may are under way the next ones gather. So a lone request is not delayed, and under load groups
grow by themselves. Every request has its own answer. If a group fails as a whole for an unforeseen reason,
each of its requests is tried alone, so that nobody's request can spoil another's. A caller that goes away
does not stop its request.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from stellwerk.database.errors import DatabaseUnavailable

R = TypeVar("R")
A = TypeVar("A")

Handle = Callable[[Sequence[R]], Awaitable[Sequence[A | Exception]]]
"""Answers the requests in their order; an exception in the place of an answer is raised to that caller."""


def groups_under_way(engine: str) -> int:
    """Return how many groups at once suit an engine.

    SQLite lets them share a commit, and with few those who gather wait for one more; on PostgreSQL each takes
    a connection.
    """
    return 16 if engine == "sqlite" else 2


class Grouper(Generic[R, A]):
    """Gathers requests and hands them to `handle`; see the module."""

    def __init__(
        self, handle: Handle[R, A], *, most: int = 64, under_way: int = 2, apart_s: float = 0.0
    ) -> None:
        """`most` bounds a group, `under_way` the groups at once; groups begin at least `apart_s` apart.

        64 tasks hold up the event loop for some milliseconds; more of them are hardly cheaper.
        """
        self._handle = handle
        self._most = most
        self._may_run = under_way
        self._apart_s = apart_s
        self._not_before = 0.0
        self._waiting: deque[tuple[R, asyncio.Future[A]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._hurried = False
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, request: R) -> asyncio.Future[A]:
        """Return the future answer; the request is handled also if nobody waits for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((request, future))
        self._schedule()
        return future

    async def finish(self) -> None:
        """Wait until everything asked so far is answered, without the pauses between groups."""
        self._hurried = True
        if self._timer is not None:
            self._timer.cancel()
            self._begin()
        while self._waiting or self._running:
            if self._running:
                await asyncio.wait(self._running)
            else:
                await asyncio.sleep(0)
        self._hurried = False

    def __len__(self) -> int:
        return len(self._waiting)

    def _schedule(self) -> None:
        if self._scheduled or not self._waiting or len(self._running) >= self._may_run:
            return
        self._scheduled = True
        loop = asyncio.get_running_loop()
        pause_s = self._not_before - loop.time() if self._apart_s and not self._hurried else 0.0
        if pause_s > 0:
            self._timer = loop.call_later(pause_s, self._begin)
        else:
            loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled, self._timer = False, None
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._running) < self._may_run:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            self._not_before = loop.time() + self._apart_s
            task = loop.create_task(self._run(group))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._schedule()

    async def _run(self, group: list[tuple[R, asyncio.Future[A]]]) -> None:
        try:
            answers: Sequence[A | Exception] = await self._handle([request for request, _ in group])
        except DatabaseUnavailable as unavailable:
            answers = [unavailable] * len(group)
        except Exception as error:
            if len(group) > 1:
                for alone in group:
                    await self._run([alone])
                return
            answers = [error]
        except asyncio.CancelledError:
            for _, future in group:
                future.cancel()
            raise
        for (_, future), answer in zip(group, answers, strict=True):
            _resolve(future, answer)


def _resolve(future: "asyncio.Future[A]", answer: A | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
