"""Carrying changes through: a change that may be committed must reach memory, though its caller is gone.

A cancelled caller (a client that hung up, a time limit) cannot tell whether its unit of work was committed.
So a change runs as a task of its own from the commit to its application; cancelling the caller leaves it
alone.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Carried:
    """Changes that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def through(self, change: Coroutine[Any, Any, T]) -> T:
        """Run a change to its end and return its answer, or raise its refusal."""
        task = asyncio.create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait until every change has come to its end."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # a refusal that nobody waits for any more is no news
            task.exception()
