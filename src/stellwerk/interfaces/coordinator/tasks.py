"""Routes about tasks, for those who give them and those who watch."""

from typing import Any

from stellwerk.clock import Clock
from stellwerk.http.instants import iso, iso_or_none
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.streaming import unless_gone
from stellwerk.interfaces.coordinator import rendering
from stellwerk.interfaces.coordinator.figures import Figures
from stellwerk.interfaces.coordinator.submitting import KEY_HEADER, submission
from stellwerk.interfaces.coordinator.wire import tasks as wire
from stellwerk.interfaces.coordinator.words import QUEUES
from stellwerk.trust.scopes import Scope
from stellwerk.work.priority import priority_named
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Settled, TaskFilter

PRIORITY = {"type": "string", "enum": list(QUEUES)}
UNAVAILABLE = "Task distributor not available"


class TaskRoutes:
    """See the module."""

    def __init__(self, work: Work, figures: Figures, clock: Clock) -> None:
        self._work = work
        self._figures = figures
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="POST",
                path="/tasks/submit",
                handle=self.submit,
                scope=Scope.TASKS_SUBMIT,
                summary="Submit a task",
                description="The answer comes when the task is durable. The same `task_id` or idempotency key"
                " with the same body is the same task for 24 hours; with another body it is refused.",
                tag="tasks",
                takes=wire.SubmitTask,
                gives=wire.TaskSubmitted,
                headers={"Idempotency-Key": KEY_HEADER},
                refuses=(400, 409),
                failure="Error submitting task",
                unavailable=UNAVAILABLE,
            ),
            self._read("/tasks/status", self.status, wire.TaskStatus, "Show figures of the distribution"),
            self._read("/tasks/queues", self.queues, wire.Queues, "Show how many tasks wait"),
            self._read(
                "/tasks/queues/stats", self.queue_stats, wire.QueueStats, "Show queues and distribution"
            ),
            Operation(
                method="POST",
                path="/tasks/queues/{priority}/clear",
                path_schemas={"priority": PRIORITY},
                handle=self.clear,
                scope=Scope.TASKS_ADMIN,
                summary="Cancel every task that waits with a priority",
                tag="tasks",
                gives=wire.QueueCleared,
                refuses=(400,),
                misses=False,
                failure="Error clearing queue",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="GET",
                path="/tasks",
                handle=self.list,
                scope=Scope.TASKS_READ,
                summary="List tasks, newest first",
                tag="tasks",
                query=wire.ListQuery,
                gives=wire.TaskList,
                refuses=(404,),
                failure="Error listing tasks",
                unavailable=UNAVAILABLE,
            ),
            self._read("/tasks/{task_id}", self.get, wire.TaskAnswer, "Show a task"),
            Operation(
                method="GET",
                path="/tasks/{task_id}/result",
                handle=self.result,
                scope=Scope.TASKS_READ,
                summary="Show the result of a task, or wait for it",
                tag="tasks",
                query=wire.ResultQuery,
                gives=wire.TaskResult,
                failure="Error getting result",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="GET",
                path="/tasks/{task_id}/logs",
                handle=self.logs,
                scope=Scope.TASKS_READ,
                summary="Show what an attempt logged",
                tag="tasks",
                query=wire.LogQuery,
                gives=wire.TaskLogs,
                failure="Error getting logs",
                unavailable=UNAVAILABLE,
            ),
            self._change("cancel", self.cancel, "Cancel a task", Scope.TASKS_SUBMIT),
            self._change("requeue", self.requeue, "Queue a finished task again", Scope.TASKS_SUBMIT),
        ]

    def _read(self, path: str, handle: Any, gives: type, summary: str) -> Operation:
        return Operation(
            method="GET",
            path=path,
            handle=handle,
            scope=Scope.TASKS_READ,
            summary=summary,
            tag="tasks",
            gives=gives,
            failure="Error getting task status",
            unavailable=UNAVAILABLE,
        )

    def _change(self, verb: str, handle: Any, summary: str, scope: Scope) -> Operation:
        return Operation(
            method="POST",
            path=f"/tasks/{{task_id}}/{verb}",
            handle=handle,
            scope=scope,
            summary=summary,
            description="Of others' tasks, only with `tasks:admin`.",
            tag="tasks",
            gives=wire.TaskChanged,
            refuses=(409,),
            failure=f"Error: {verb} failed",
            unavailable=UNAVAILABLE,
        )

    async def submit(self, call: Call[wire.SubmitTask, None]) -> Answer:
        done = await self._work.submit(call.principal, submission(call))
        priority = call.body.priority
        return wire.TaskSubmitted(
            task_id=done.task_id,
            priority="normal" if priority is None else priority,
            submitted_at=iso(done.submitted_at),
            state=done.state.value,
            duplicate=done.duplicate,
        )

    async def status(self, call: Call[None, None]) -> Answer:
        return wire.TaskStatus(stats=await self._figures.distribution(), timestamp=self._now())

    async def queues(self, call: Call[None, None]) -> Answer:
        return wire.Queues(queue_sizes=await self._figures.queues(), timestamp=self._now())

    async def queue_stats(self, call: Call[None, None]) -> Answer:
        stats = await self._figures.distribution()
        return wire.QueueStats(queue_sizes=stats.queue_sizes, distribution_stats=stats, timestamp=self._now())

    async def clear(self, call: Call[None, None]) -> Answer:
        priority = call.path["priority"]
        count = await self._work.clear(call.principal, priority)
        return wire.QueueCleared(
            message=f"Cleared {count} tasks from {priority} queue",
            priority=priority,
            cleared_count=count,
            timestamp=self._now(),
        )

    async def list(self, call: Call[None, wire.ListQuery]) -> Answer:
        query = call.query
        page = await self._work.list(
            TaskFilter(
                states=() if query.state is None else (State(query.state),),
                task_type=query.task_type,
                group=query.agent_id,
                priority=None if query.priority is None else priority_named(query.priority),
            ),
            query.cursor,
            query.limit,
        )
        rows = [rendering.task_row(task) for task in page.tasks]
        return wire.TaskList(tasks=rows, count=len(rows), next_cursor=page.next_cursor, timestamp=self._now())

    async def get(self, call: Call[None, None]) -> Answer:
        task = await self._work.get(call.path["task_id"])
        return wire.TaskAnswer(task=rendering.task(task), timestamp=self._now())

    async def result(self, call: Call[None, wire.ResultQuery]) -> Answer:
        wait_s = call.query.wait_s
        work = self._work.result(call.path["task_id"], wait_s)
        outcome = await (unless_gone(call.receive, work) if wait_s else work)
        return wire.TaskResult(
            task_id=outcome.task_id,
            state=outcome.state.value,
            reason=outcome.reason,
            result=rendering.raw(outcome.result),
            error=rendering.raw(outcome.error),
            finished=outcome.finished,
            timestamp=self._now(),
        )

    async def logs(self, call: Call[None, wire.LogQuery]) -> Answer:
        query = call.query
        log = await self._work.logs(call.path["task_id"], query.after, query.attempt, query.limit)
        lines = [
            wire.LogEntry(
                seq=line.seq, level=line.level, line=line.line, at=iso_or_none(line.at), attempt=log.attempt
            )
            for line in log.lines
        ]
        return wire.TaskLogs(
            task_id=log.task_id, attempt=log.attempt, lines=lines, more=log.more, timestamp=self._now()
        )

    async def cancel(self, call: Call[None, None]) -> Answer:
        return self._changed(await self._work.cancel(call.principal, call.path["task_id"]))

    async def requeue(self, call: Call[None, None]) -> Answer:
        return self._changed(await self._work.requeue(call.principal, call.path["task_id"]))

    def _changed(self, settled: Settled) -> wire.TaskChanged:
        return rendering.changed(settled, self._now())

    def _now(self) -> str:
        return iso(self._clock.now_us())
