"""Routes for those who work: claim tasks, report on them, settle them."""

from typing import Any

from stellwerk.clock import Clock
from stellwerk.fleet.service import Fleet
from stellwerk.http.instants import iso, microseconds
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.problem import Problem
from stellwerk.http.streaming import unless_gone
from stellwerk.interfaces.coordinator import rendering
from stellwerk.interfaces.coordinator.holders import instance_of, speaker
from stellwerk.interfaces.coordinator.wire import tasks as task_wire
from stellwerk.interfaces.coordinator.wire import work as wire
from stellwerk.interfaces.coordinator.words import JOINED_THROUGH, stop_reason
from stellwerk.trust.scopes import Scope
from stellwerk.work.matching import Attributes
from stellwerk.work.offering import accepts, offer
from stellwerk.work.service import Work
from stellwerk.work.task import Assignment, Holder, LogLine, Settled, Standing

UNAVAILABLE = "Task distributor not available"
Report = Call[wire.LeaseReport, None]


class WorkRoutes:
    """See the module."""

    def __init__(self, fleet: Fleet, work: Work, clock: Clock) -> None:
        self._fleet = fleet
        self._work = work
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        changed, standing = task_wire.TaskChanged, wire.Standing
        return [
            Operation(
                method="POST",
                path="/tasks/claim",
                handle=self.claim,
                scope=Scope.TASKS_WORK,
                summary="Ask for tasks",
                description="Waits up to `wait_s` for the first. Counts as a heartbeat.",
                tag="work",
                takes=wire.Claim,
                gives=wire.Claimed,
                refuses=(404, 409),
                failure="Error claiming tasks",
                unavailable=UNAVAILABLE,
            ),
            self._report("acknowledge", self.acknowledge, wire.LeaseReport, standing, "Begin a task"),
            self._report("progress", self.progress, wire.ProgressReport, standing, "Tell how far a task is"),
            self._report("logs", self.log, wire.LogReport, standing, "Add lines to the log of a task"),
            self._report("complete", self.complete, wire.Completion, changed, "End a task with a result"),
            self._report("fail", self.fail, wire.Failure, changed, "End an attempt with an error"),
            self._report("release", self.release, wire.LeaseReport, changed, "Give a task back"),
            self._report("cancelled", self.cancelled, wire.LeaseReport, changed, "Confirm a cancellation"),
        ]

    def _report(self, verb: str, handle: Any, takes: type, gives: type, summary: str) -> Operation:
        return Operation(
            method="POST",
            path=f"/tasks/{{task_id}}/{verb}",
            handle=handle,
            scope=Scope.TASKS_WORK,
            summary=summary,
            tag="work",
            takes=takes,
            gives=gives,
            refuses=(409,),
            failure="Error reporting on task",
            unavailable=UNAVAILABLE,
        )

    async def claim(self, call: Call[wire.Claim, None]) -> Answer:
        body = call.body
        taken = await self._fleet.heartbeat(
            call.principal, body.agent_id, body.instance_id, through=JOINED_THROUGH
        )
        instance = instance_of(taken.view, body.instance_id)
        holder = Holder(body.agent_id, instance.instance)
        given = await self._claim(call, holder, offer(taken.view, instance)) if accepts(instance) else []
        return wire.Claimed(
            tasks=rendering.assignments(given), count=len(given), timestamp=iso(self._clock.now_us())
        )

    async def _claim(
        self, call: Call[wire.Claim, None], holder: Holder, attributes: Attributes
    ) -> list[Assignment]:
        limit, wait_s = call.body.limit, call.body.wait_s
        work = self._work.claim(holder, attributes, limit, wait_s)
        # Somebody who has hung up must not be given tasks: they would wait for the acknowledgement deadline.
        return await (unless_gone(call.receive, work) if wait_s else work)

    async def acknowledge(self, call: Report) -> Answer:
        holder = await self._holder(call)
        return self._standing(await self._work.acknowledge(holder, call.path["task_id"], call.body.lease))

    async def progress(self, call: Call[wire.ProgressReport, None]) -> Answer:
        holder, body = await self._holder(call), call.body
        return self._standing(
            await self._work.progress(holder, call.path["task_id"], body.lease, body.progress, body.note)
        )

    async def log(self, call: Call[wire.LogReport, None]) -> Answer:
        holder, body = await self._holder(call), call.body
        lines = [log_line(line) for line in body.lines]
        return self._standing(await self._work.log(holder, call.path["task_id"], body.lease, lines))

    async def complete(self, call: Call[wire.Completion, None]) -> Answer:
        holder, body = await self._holder(call), call.body
        result = bytes(body.result).decode()
        return self._settled(await self._work.complete(holder, call.path["task_id"], body.lease, result))

    async def fail(self, call: Call[wire.Failure, None]) -> Answer:
        holder, body = await self._holder(call), call.body
        error = bytes(body.error).decode()
        return self._settled(
            await self._work.fail(holder, call.path["task_id"], body.lease, error, retryable=body.retryable)
        )

    async def release(self, call: Report) -> Answer:
        holder = await self._holder(call)
        return self._settled(await self._work.hand_back(holder, call.path["task_id"], call.body.lease))

    async def cancelled(self, call: Report) -> Answer:
        holder = await self._holder(call)
        return self._settled(
            await self._work.confirm_cancelled(holder, call.path["task_id"], call.body.lease)
        )

    async def _holder(self, call: Call[Any, None]) -> Holder:
        return await speaker(self._fleet, call.principal, call.body.agent_id, call.body.instance_id)

    def _standing(self, standing: Standing) -> wire.Standing:
        return wire.Standing(
            task_id=standing.task_id,
            state=standing.state.value,
            lease_expires_at=iso(standing.lease_expires_at),
            reason=stop_reason(standing.reason) if standing.stop_asked else None,
            timestamp=iso(self._clock.now_us()),
        )

    def _settled(self, settled: Settled) -> task_wire.TaskChanged:
        return rendering.changed(settled, iso(self._clock.now_us()))


def log_line(line: wire.LogLine) -> LogLine:
    """Read a log line; a text column cannot hold NUL. Raises Problem."""
    if line.seq != int(line.seq) or not 0 <= line.seq <= wire.MOST_LINES:
        raise Problem.invalid(f"seq is a whole number from 0 to {wire.MOST_LINES}")
    at = None if line.at is None else microseconds(line.at)
    return LogLine(int(line.seq), line.line.replace("\x00", "\ufffd"), line.level, at)
