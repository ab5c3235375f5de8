"""The client for programs with an event loop."""

from __future__ import annotations

import asyncio
import builtins
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import msgspec

from stellwerk.sdk.errors import TaskNotSucceeded, WaitTimeout
from stellwerk.sdk.options import api_key as key_or_environment
from stellwerk.sdk.options import server_url
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
from stellwerk.sdk.streaming import follow, follow_task, read_page
from stellwerk.sdk.transport import Transport

LONGEST_POLL_S = 30.0


class _TaskAnswer(msgspec.Struct):
    task: Task


class _Outcome(msgspec.Struct):
    state: str
    finished: bool


class _State(msgspec.Struct):
    state: str


class _Logs(msgspec.Struct):
    lines: list[LogLine] = []
    more: bool = False


class _Status(msgspec.Struct):
    stats: QueueStatus


class _Agents(msgspec.Struct):
    agents: list[Agent]


class AsyncClient:
    """Gives tasks to a control plane and follows them. Safe for concurrent use on one event loop.

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
        self._transport = Transport(
            server_url(server), api_key=key_or_environment(api_key), timeout_s=timeout_s, retry_s=retry_s
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def submit(
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
        return await self.submit_task(
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

    async def submit_task(self, task: NewTask) -> Submitted:
        """Submit a task that was put together before.

        Raises `Conflict` when its key was used for another one.
        """
        return await self._transport.call(
            "POST", "/tasks/submit", Submitted, body=submission(task), repeatable=True
        )

    async def submit_many(self, tasks: Iterable[NewTask], *, concurrency: int = 32) -> list[Submitted]:
        """Submit tasks, `concurrency` at a time, and return the answers in their order.

        The first refusal ends it; tasks that were taken before stay.
        """
        waiting = iter(enumerate(tasks))
        answers: dict[int, Submitted] = {}

        async def lane() -> None:
            for number, task in waiting:
                answers[number] = await self.submit_task(task)

        lanes = [asyncio.create_task(lane()) for _ in range(max(1, concurrency))]
        try:
            await asyncio.gather(*lanes)
        finally:
            for each in lanes:
                each.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
        return [answers[number] for number in sorted(answers)]

    async def get(self, task_id: str) -> Task:
        """Return a task with its data and, when finished, its result. Raises `NotFound`."""
        return (await self._transport.call("GET", f"/tasks/{quote(task_id, safe='')}", _TaskAnswer)).task

    async def wait(self, task_id: str, *, timeout_s: float | None = None) -> Task:
        """Wait until a task has finished, however it ended.

        None waits for ever. Raises `WaitTimeout`, `NotFound`.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        while True:
            poll_s = LONGEST_POLL_S if until is None else max(0.0, min(LONGEST_POLL_S, until - loop.time()))
            outcome = await self._transport.call(
                "GET",
                f"/tasks/{quote(task_id, safe='')}/result",
                _Outcome,
                query={"wait_s": f"{poll_s:.3f}"},
                patience_s=poll_s,
            )
            if outcome.finished:
                return await self.get(task_id)
            if until is not None and loop.time() >= until:
                raise WaitTimeout(task_id, outcome.state, timeout_s or 0.0)

    async def result(self, task_id: str, *, timeout_s: float | None = None) -> Any:
        """Wait for a task and return its result.

        Raises `TaskNotSucceeded` when it ended otherwise, `WaitTimeout`.
        """
        task = await self.wait(task_id, timeout_s=timeout_s)
        if task.state != "succeeded":
            raise TaskNotSucceeded(task)
        return task.result

    def stream(
        self, task_id: str | None = None, *, kinds: Sequence[str] = (), after: str | None = None
    ) -> AsyncIterator[Event]:
        """Follow events as they happen.

        With a `task_id`: the whole story of that task from its first event on, ending with its last. Without:
        all events from now on, or from behind the cursor `after`, for ever. `kinds` are exact or end in `.*`.
        Resumes by itself, without a gap, when the connection breaks.
        """
        if task_id is not None:
            return follow_task(self._transport, task_id, kinds=kinds, after=after)
        return follow(self._transport, kinds=kinds, after=after)

    async def events(
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
        return await read_page(self._transport, kinds=kinds, after=after, task_id=task_id, limit=limit)

    async def list(
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
        chosen = {
            "state": state,
            "task_type": task_type,
            "agent_id": agent_id,
            "priority": priority,
            "limit": str(limit),
            "cursor": cursor,
        }
        return await self._transport.call(
            "GET",
            "/tasks",
            TaskPage,
            query={name: value for name, value in chosen.items() if value is not None},
        )

    async def cancel(self, task_id: str) -> str:
        """Ask that a task be stopped and return its state.

        `cancelled`, or `cancelling` while a worker has it.
        """
        return await self._act(task_id, "cancel")

    async def requeue(self, task_id: str) -> str:
        """Queue a dead, failed or cancelled task again, with all its attempts, and return its state."""
        return await self._act(task_id, "requeue")

    async def _act(self, task_id: str, verb: str) -> str:
        path = f"/tasks/{quote(task_id, safe='')}/{verb}"
        return (await self._transport.call("POST", path, _State)).state

    async def logs(self, task_id: str, *, after: int = -1, attempt: int | None = None) -> Sequence[LogLine]:
        """Return what the task's function logged in an attempt (None.

        The last one), behind line number `after`.
        """
        path = f"/tasks/{quote(task_id, safe='')}/logs"
        lines: builtins.list[LogLine] = []
        while True:
            query = {"after": str(after)} | ({} if attempt is None else {"attempt": str(attempt)})
            page = await self._transport.call("GET", path, _Logs, query=query)
            lines += page.lines
            if not page.more or not page.lines:
                return lines
            after = page.lines[-1].seq

    async def status(self) -> QueueStatus:
        """Return figures of the whole queue."""
        return (await self._transport.call("GET", "/tasks/status", _Status)).stats

    async def agents(self, query: AgentQuery | None = None) -> Sequence[Agent]:
        """List the agents of the fleet, the healthiest first."""
        wanted = msgspec.to_builtins(query or AgentQuery())
        body = {name: value for name, value in wanted.items() if value not in (None, (), [])}
        return (
            await self._transport.call("POST", "/agents/discover", _Agents, body=body, repeatable=True)
        ).agents


def submission(task: NewTask) -> dict[str, Any]:
    """Render a new task as the body of its submission."""
    body: dict[str, Any] = {
        "task_data": {**task.data, "task_type": task.task_type},
        "priority": task.priority,
        "requirements": dict(task.requires),
        "repeatable": task.repeatable,
    }
    optional = {
        "task_id": task.task_id,
        "idempotency_key": task.idempotency_key or (None if task.task_id else uuid.uuid4().hex),
        "max_attempts": task.max_attempts,
        "delay_s": task.delay_s,
        "not_before": task.not_before,
        "deadline": task.deadline,
        "timeout_s": task.timeout_s,
    }
    body.update((name, value) for name, value in optional.items() if value is not None)
    return body
