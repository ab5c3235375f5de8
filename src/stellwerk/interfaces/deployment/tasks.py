"""Routes of those who give tasks to agents: submit, list, show, follow, cancel."""

from typing import Any

import msgspec

from stellwerk.fleet.deployment.service import Deployments
from stellwerk.fleet.deployment.standing import Standing
from stellwerk.http.operation import Answer, Call, Operation, Raw
from stellwerk.http.problem import Problem
from stellwerk.http.streaming import unless_gone
from stellwerk.interfaces.deployment import rendering
from stellwerk.interfaces.deployment.submitting import submission
from stellwerk.interfaces.deployment.wire import tasks as wire
from stellwerk.interfaces.deployment.words import STATES, stamp, status_of
from stellwerk.trust.scopes import Scope
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Holder, Settled, TaskFilter

encode = msgspec.json.Encoder().encode
RETRY_AFTER_S = 30.0
"""An agent that comes back does so with its next heartbeat."""


class TaskRoutes:
    """See the module."""

    def __init__(self, deployments: Deployments, work: Work) -> None:
        self._deployments = deployments
        self._work = work

    def operations(self) -> list[Operation]:
        """List the routes."""
        tag: dict[str, Any] = {"tag": "machine tasks"}
        return [
            Operation(
                method="POST",
                path="/api/v1/tasks",
                handle=self.submit,
                scope=Scope.TASKS_SUBMIT,
                summary="Give a task to an agent; with mode=sync wait for its end",
                takes=wire.DescribedSubmission,
                query=wire.SubmitQuery,
                gives=wire.TaskSubmitted,
                status=202,
                also={200: wire.TaskSubmitted},
                refuses=(400, 404, 409),
                **tag,
            ),
            Operation(
                method="GET",
                path="/api/v1/tasks",
                handle=self.list,
                scope=Scope.TASKS_READ,
                summary="List tasks, newest first; X-Next-Cursor leads to the next page",
                query=wire.TaskQuery,
                gives=list[wire.TaskRow],
                refuses=(404,),
                **tag,
            ),
            Operation(
                method="GET",
                path="/api/v1/tasks/{task_id}",
                handle=self.get,
                scope=Scope.TASKS_READ,
                summary="Show a task",
                gives=wire.Task,
                **tag,
            ),
            Operation(
                method="GET",
                path="/api/v1/tasks/{task_id}/logs",
                handle=self.logs,
                scope=Scope.TASKS_READ,
                summary="Show what an attempt logged, from a line on",
                query=wire.LogQuery,
                gives=wire.TaskLogs,
                **tag,
            ),
            Operation(
                method="POST",
                path="/api/v1/tasks/{task_id}/cancel",
                handle=self.cancel,
                scope=Scope.TASKS_SUBMIT,
                summary="Cancel a task; of others' tasks, only with `tasks:admin`",
                gives=wire.TaskCancelled,
                refuses=(403, 409),
                **tag,
            ),
        ]

    async def submit(self, call: Call[wire.SubmitTask, wire.SubmitQuery]) -> Answer:
        body, sync = call.body, call.query.mode == "sync"
        agent = None if body.agent is msgspec.UNSET else await self._deployments.find(body.agent)
        if sync and agent is not None and self._deployments.stands(agent).standing is Standing.OFFLINE:
            detail = f"The agent {agent.name!r} is offline; without mode=sync the task would wait for it"
            raise Problem(503, "agent.offline", detail, {"retry-after": f"{RETRY_AFTER_S:.0f}"})
        group = None if agent is None else agent.name
        done = await self._work.submit(call.principal, submission(body, group))
        answer = wire.TaskSubmitted(
            task_id=done.task_id, status=status_of(done.state, None), duplicate=done.duplicate
        )
        return await self._ended(call, answer) if sync else answer

    async def list(self, call: Call[None, wire.TaskQuery]) -> Answer:
        query = call.query
        filters = TaskFilter(
            states=() if query.status is None else STATES[query.status],
            task_type=query.task_type,
            group=None if query.agent is None else (await self._deployments.find(query.agent)).name,
        )
        page = await self._work.list(filters, query.cursor, query.limit)
        rows = [rendering.task_row(task) for task in page.tasks]
        rows = [row for row in rows if query.status in (None, row.status)]
        more = () if page.next_cursor is None else ((b"x-next-cursor", page.next_cursor.encode()),)
        return Raw(encode(rows), headers=more)

    async def get(self, call: Call[None, None]) -> Answer:
        task = await self._work.get(call.path["task_id"])
        # Only a task that ended without its holder can have one.
        given_up = task.finished and status_of(task.state, task.reason) in ("lost", "timed_out")
        return rendering.task_in_full(task, await self._work.late.find(task.task_id) if given_up else None)

    async def logs(self, call: Call[None, wire.LogQuery]) -> Answer:
        query = call.query
        log = await self._work.logs(call.path["task_id"], query.from_ - 1, query.attempt, query.limit)
        lines = [
            wire.ShownLine(seq=line.seq, timestamp=stamp(line.at or 0), level=line.level, message=line.line)
            for line in log.lines
        ]
        after = lines[-1].seq + 1 if lines else query.from_
        return wire.TaskLogs(task_id=log.task_id, attempt=log.attempt, lines=lines, next=after, more=log.more)

    async def cancel(self, call: Call[None, None]) -> Answer:
        settled = await self._work.cancel(call.principal, call.path["task_id"])
        if settled.state is State.CANCELLING:
            settled = await self._cancelled_unbegun(settled)
        status = status_of(settled.state, settled.reason)
        return wire.TaskCancelled(task_id=settled.task_id, status=status)

    async def _cancelled_unbegun(self, settled: Settled) -> Settled:
        """End what its agent has not begun at once: it may be away, and begins nothing that is cancelled."""
        task = await self._work.get(settled.task_id)
        holder = Holder(task.holder_group or "", task.holder_instance or "")
        if task.started_at is not None or not self._deployments.has(holder.group):
            return settled
        try:
            return await self._work.confirm_cancelled(holder, task.task_id, task.fence)
        except WorkRefused:
            return settled  # It has ended in the meantime.

    async def _ended(
        self, call: Call[wire.SubmitTask, wire.SubmitQuery], submitted: wire.TaskSubmitted
    ) -> Answer:
        waiting = self._work.result(submitted.task_id, call.query.wait)
        outcome = await unless_gone(call.receive, waiting)
        submitted.status = status_of(outcome.state, outcome.reason)
        if not outcome.finished:
            return submitted
        submitted.result = rendering.raw(outcome.result)
        submitted.error = rendering.raw(outcome.error)
        return Raw(encode(submitted))
