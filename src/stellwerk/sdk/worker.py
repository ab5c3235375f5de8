"""A worker: functions by task type, run for a control plane.

The life of a worker: it registers, connects, takes tasks until it is stopped, drains (takes nothing new, lets
what runs finish within `drain_s`, gives back the rest), says goodbye and ends. Being connected is the
session's matter and goes on during the drain; being stopped is decided here, by signals or by `stop`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from stellwerk.sdk.context import Context
from stellwerk.sdk.functions import Functions
from stellwerk.sdk.options import Delivery, WorkerOptions
from stellwerk.sdk.session import Session

F = TypeVar("F", bound=Callable[[Context], Any])

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class Worker:
    """Functions by task type, and how to run them.

    A function takes a `Context` and returns its result: anything that can be written as JSON. What it raises
    fails the attempt, and the control plane tries again; `PermanentFailure` fails the task. Synchronous
    functions run in threads.
    """

    def __init__(
        self,
        agent_id: str | None = None,
        *,
        server: str | None = None,
        capabilities: Sequence[str] = (),
        concurrency: int = 10,
        agent_type: str = "worker",
        labels: Mapping[str, str] | None = None,
        delivery: Delivery = "auto",
        api_key: str | None = None,
        options: WorkerOptions | None = None,
    ) -> None:
        self.options = options or WorkerOptions(
            server=server,
            api_key=api_key,
            agent_id=agent_id,
            agent_type=agent_type,
            capabilities=tuple(capabilities),
            labels=dict(labels or {}),
            concurrency=concurrency,
            delivery=delivery,
        )
        """May be replaced until the worker runs; given as a whole they win over the other parameters."""
        self._functions = Functions()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._session: Session | None = None

    @property
    def task_types(self) -> tuple[str, ...]:
        """The task types that have a function, sorted."""
        return self._functions.task_types

    def task(self, task_type: str | None = None) -> Callable[[F], F]:
        """Register a function for a task type.

        None means its own name, `*` every type that has no function. Raises ValueError when the type has one
        already.
        """

        def register(function: F) -> F:
            name = task_type or str(getattr(function, "__name__", type(function).__name__))
            self._functions.register(name, function)
            return function

        return register

    def run(self, *, loop_factory: LoopFactory | None = None) -> None:
        """Work until SIGTERM or SIGINT, then drain; a second signal gives everything back at once.

        To be called in the main thread. Raises `Refused` with its kinds when the control plane does not want
        this worker.
        """
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._serve_with_signals())

    async def _serve_with_signals(self) -> None:
        with _signals(self.stop):
            await self.serve()

    async def serve(self) -> None:
        """Work until `stop` is called, then drain.

        For programs with an event loop of their own. Raises as `run`.
        """
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._session = session = Session(self._functions, self.options)
        keeping = asyncio.create_task(session.keep())
        stopping = asyncio.create_task(self._stopping.wait())
        tasks = [keeping, stopping]
        try:
            await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            draining = asyncio.create_task(session.drain())
            tasks.append(draining)
            await asyncio.wait({keeping, draining}, return_when=asyncio.FIRST_COMPLETED)
            await session.leave()
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await session.close()
            self._loop = self._stopping = self._session = None

    def stop(self) -> None:
        """Take nothing new, finish what runs within `drain_s`, and end.

        A second call gives everything back at once. Safe to call from any thread. Harmless when the worker
        does not run.
        """
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        if self._stopping is None or self._session is None:
            return
        if self._stopping.is_set():
            self._session.hurry()
        self._stopping.set()


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGTERM, signal.SIGINT)
    for number in wanted:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)
