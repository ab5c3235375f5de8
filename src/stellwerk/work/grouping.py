"""Put requests of the same moment into one unit of work.

Theory of operation. Requests that arrive while the loop runs once are handled together; while as many groups as may
are under way the next ones gather. So a lone request is not delayed, and under load groups grow by themselves. Every
request has its own answer. If a group fails as a whole for an unforeseen reason, each of its requests is tried alone,
so that nobody's request can spoil another's. A caller that goes away does not stop its request.
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


class Grouper(Generic[R, A]):
    """Gathers requests and hands them to `handle`; see the module."""

    def __init__(self, handle: Handle[R, A], *, most: int = 256, under_way: int = 2) -> None:
        self._handle = handle
        self._most = most
        self._may_run = under_way
        self._waiting: deque[tuple[R, asyncio.Future[A]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def ask(self, request: R) -> asyncio.Future[A]:
        """Return the future answer; the request is handled also if nobody waits for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._waiting.append((request, future))
        if not self._scheduled and len(self._running) < self._may_run:
            self._scheduled = True
            loop.call_soon(self._begin)
        return future

    async def finish(self) -> None:
        """Wait until everything asked so far is answered."""
        while self._waiting or self._running:
            await asyncio.wait(self._running or {asyncio.ensure_future(asyncio.sleep(0))})

    def __len__(self) -> int:
        return len(self._waiting)

    def _begin(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._running) < self._may_run:
            group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            task = asyncio.get_running_loop().create_task(self._run(group))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._begin()

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
