"""The client for programs without an event loop: `AsyncClient` on a loop of its own in a background thread.

One thread a client, started at the first call and ended by `close`. Calls may come from any number of
threads; each blocks only its own. An interrupted call (Ctrl-C) is cancelled on the loop as well.
"""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

from stellwerk.sdk.asynchronous import AsyncClient
from stellwerk.sdk.errors import StellwerkError
from stellwerk.sdk.records import (
    Agent,
    AgentQuery,
    Event,
    EventPage,
    LogLine,
    NewTask,
    Priority,
    QueueStatus,
    Submitted,
    Task,
    TaskPage,
)

T = TypeVar("T")


class Client:
    """Gives tasks to a control plane and follows them, blocking. Safe to share between threads.

    Every method may raise `Unreachable` (after retries for `retry_s`) and `Refused` with its kinds.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        retry_s: float = 30.0,
    ) -> None:
        self._client = AsyncClient(server, api_key=api_key, timeout_s=timeout_s, retry_s=retry_s)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def close(self) -> None:
        """Close the connections and end the background thread. Harmless when called again."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    async def _end(self) -> None:
        here = asyncio.current_task()
        running = [task for task in asyncio.all_tasks() if task is not here]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._client.close()
        await asyncio.get_running_loop().shutdown_asyncgens()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise StellwerkError("the client is closed")
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=_keep_running, args=(loop,), name="stellwerk-client", daemon=True
                )
                self._thread.start()
            return self._loop

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._running_loop()
        except StellwerkError:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def submit(
        self,
        task_type: str,
        data: Mapping[str, Any] | None = None,
        *,
        priority: Priority = "normal",
        capabilities: Sequence[str] = (),
        requires: Mapping[str, Any] | None = None,
        repeatable: bool = True,
        max_attempts: int | None = None,
        delay_s: float | None = None,
        not_before: datetime | None = None,
        deadline: datetime | None = None,
        timeout_s: float | None = None,
        task_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Submitted:
        """Submit a task and return when it is durable.

        `NewTask` tells what the parameters mean; `capabilities` stands for `requires={"capabilities": …}`.
        """
        return self.submit_task(
            NewTask(
                task_type=task_type,
                data=data or {},
                priority=priority,
                requires={
                    **(requires or {}),
                    **({"capabilities": list(capabilities)} if capabilities else {}),
                },
                repeatable=repeatable,
                max_attempts=max_attempts,
                delay_s=delay_s,
                not_before=not_before,
                deadline=deadline,
                timeout_s=timeout_s,
                task_id=task_id,
                idempotency_key=idempotency_key,
            )
        )

    def submit_task(self, task: NewTask) -> Submitted:
        """Submit a task that was put together before.

        Raises `Conflict` when its key was used for another one.
        """
        return self._do(self._client.submit_task(task))

    def submit_many(self, tasks: Iterable[NewTask], *, concurrency: int = 32) -> builtins.list[Submitted]:
        """Submit tasks, `concurrency` at a time, and return the answers in their order."""
        return self._do(self._client.submit_many(tasks, concurrency=concurrency))

    def get(self, task_id: str) -> Task:
        """Return a task with its data and, when finished, its result. Raises `NotFound`."""
        return self._do(self._client.get(task_id))

    def wait(self, task_id: str, *, timeout_s: float | None = None) -> Task:
        """Wait until a task has finished, however it ended.

        None waits for ever. Raises `WaitTimeout`, `NotFound`.
        """
        return self._do(self._client.wait(task_id, timeout_s=timeout_s))

    def result(self, task_id: str, *, timeout_s: float | None = None) -> Any:
        """Wait for a task and return its result.

        Raises `TaskNotSucceeded` when it ended otherwise, `WaitTimeout`.
        """
        return self._do(self._client.result(task_id, timeout_s=timeout_s))

    def stream(
        self, task_id: str | None = None, *, kinds: Sequence[str] = (), after: str | None = None
    ) -> Iterator[Event]:
        """Follow events as they happen; see `AsyncClient.stream`."""
        events = self._client.stream(task_id, kinds=kinds, after=after)
        try:
            while (event := self._do(_next(events))) is not None:
                yield event
        finally:
            if not self._closed:
                self._do(_close(events))

    def events(
        self,
        *,
        task_id: str | None = None,
        kinds: Sequence[str] = (),
        after: str | None = None,
        limit: int = 100,
    ) -> EventPage:
        """Return one page of the journal, oldest first, from behind the cursor `after` (None.

        The oldest kept).
        """
        return self._do(self._client.events(task_id=task_id, kinds=kinds, after=after, limit=limit))

    def list(
        self,
        *,
        state: str | None = None,
        task_type: str | None = None,
        agent_id: str | None = None,
        priority: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> TaskPage:
        """Return one page of tasks; give `next_cursor` back as `cursor` for the next."""
        return self._do(
            self._client.list(
                state=state,
                task_type=task_type,
                agent_id=agent_id,
                priority=priority,
                limit=limit,
                cursor=cursor,
            )
        )

    def cancel(self, task_id: str) -> str:
        """Ask that a task be stopped and return its state.

        `cancelled`, or `cancelling` while a worker has it.
        """
        return self._do(self._client.cancel(task_id))

    def requeue(self, task_id: str) -> str:
        """Queue a dead, failed or cancelled task again, with all its attempts, and return its state."""
        return self._do(self._client.requeue(task_id))

    def logs(self, task_id: str, *, after: int = -1, attempt: int | None = None) -> Sequence[LogLine]:
        """Return what the task's function logged in an attempt (None.

        The last one), behind line number `after`.
        """
        return self._do(self._client.logs(task_id, after=after, attempt=attempt))

    def status(self) -> QueueStatus:
        """Return figures of the whole queue."""
        return self._do(self._client.status())

    def agents(self, query: AgentQuery | None = None) -> Sequence[Agent]:
        """List the agents of the fleet, the healthiest first."""
        return self._do(self._client.agents(query))


def _keep_running(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)


async def _close(events: AsyncIterator[Event]) -> None:
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
