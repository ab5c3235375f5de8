"""A thread that does one thing after the other for the event loop."""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], Callable[[Any], None]]


class Worker(threading.Thread):
    """Runs jobs, which must not raise, in their order."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name=name, daemon=True)
        self._loop = loop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def do(self, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run a job, and go on with its result on the event loop."""
        self._jobs.put((job, then))

    def finish(self) -> None:
        """Let the thread end after the jobs handed in before."""
        self._jobs.put(None)

    def run(self) -> None:
        while (work := self._jobs.get()) is not None:
            job, then = work
            self._loop.call_soon_threadsafe(then, job())
