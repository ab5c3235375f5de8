"""Routes of agents about their tasks: look, claim, acknowledge, complete, give back."""

from typing import Any

from stellwerk.fleet.deployment.service import Deployments
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.problem import Problem
from stellwerk.http.streaming import unless_gone
from stellwerk.interfaces.deployment.callers import agent_of, own_identity
from stellwerk.interfaces.deployment.delivering import Delivery
from stellwerk.interfaces.deployment.holding import Holding, holder_of
from stellwerk.interfaces.deployment.reports import Reports
from stellwerk.interfaces.deployment.wire import tasks as wire
from stellwerk.interfaces.deployment.words import stamp
from stellwerk.work.refusals import NotPossible
from stellwerk.work.service import Work
from stellwerk.work.states import FINISHED
from stellwerk.work.task import Holder

Claimed = Call[None, None]


class WorkingRoutes:
    """See the module."""

    def __init__(
        self, deployments: Deployments, work: Work, holding: Holding, delivery: Delivery, reports: Reports
    ) -> None:
        self._deployments = deployments
        self._work = work
        self._holding = holding
        self._delivery = delivery
        self._reports = reports

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/api/v1/agents/{id}/tasks",
                handle=self.pending,
                scope=None,
                check=own_identity,
                summary="Look at the tasks that wait for the agent, or wait for one",
                tag="machine work",
                query=wire.PendingQuery,
                gives=wire.PendingTasks,
            ),
            self._route("claim", self.claim, None, wire.DeliveredTask, "Take a task", (409, 410)),
            self._route(
                "ack", self.acknowledge, wire.LeaseReport, wire.Acknowledged, "Begin a task", (409, 410)
            ),
            self._route(
                "complete",
                self.complete,
                wire.CompleteTask,
                wire.Acknowledged,
                "Report the end of a task",
                (409,),
            ),
            self._route(
                "release", self.release, wire.ReleaseTask, wire.Acknowledged, "Give a task back", (409,)
            ),
        ]

    def _route(  # noqa: PLR0917 - a table of routes reads best by position
        self, verb: str, handle: Any, takes: type | None, gives: type, summary: str, refuses: tuple[int, ...]
    ) -> Operation:
        return Operation(
            method="POST",
            path=f"/api/v1/agents/{{id}}/tasks/{{task_id}}/{verb}",
            handle=handle,
            scope=None,
            check=own_identity,
            summary=summary,
            tag="machine work",
            takes=takes,
            body_required=takes is wire.CompleteTask,
            gives=gives,
            refuses=refuses,
        )

    async def pending(self, call: Call[None, wire.PendingQuery]) -> Answer:
        agent = await self._deployments.get(agent_of(call).agent_id)
        if not self._holding.accepts(agent):
            return wire.PendingTasks(tasks=[])
        wait_s = call.query.wait
        looking = self._work.picking.peek(agent.name, self._holding.attributes(agent), 100, wait_s)
        seen = await (unless_gone(call.receive, looking) if wait_s else looking)
        tasks = [
            wire.PendingTask(
                task_id=one.task_id,
                task_type=one.task_type,
                priority=one.priority,
                created_at=stamp(one.submitted_at),
            )
            for one in seen
        ]
        return wire.PendingTasks(tasks=tasks)

    async def claim(self, call: Claimed) -> Answer:
        agent = await self._deployments.get(agent_of(call).agent_id)
        task_id, holder = call.path["task_id"], holder_of(agent)
        held = await self._holding.held(holder)
        has_it = any(one.task_id == task_id for one in held)
        if not has_it and not self._holding.accepts(agent):
            raise Problem.conflict("The agent drains; it takes nothing new", "agent.draining")
        if not has_it and agent.max_tasks is not None and len(held) >= agent.max_tasks:
            raise Problem.conflict("The agent has as many tasks as it takes", "agent.full")
        self._holding.busy(holder)
        try:
            taken = await self._work.picking.take(holder, self._holding.attributes(agent), task_id)
        except NotPossible as refused:
            if refused.state in FINISHED:
                raise Problem(410, "task.gone", str(refused)) from None
            raise Problem.conflict(str(refused), "task.claimed") from None
        task = await self._delivery.deliver(taken)
        if task is None:
            raise Problem(410, "task.gone", f"Task {task_id!r} has failed: its credentials cannot be read")
        return task

    async def acknowledge(self, call: Call[wire.LeaseReport | None, None]) -> Answer:
        await self._reports.accept(await self._holder(call), call.path["task_id"], _lease(call))
        return wire.Acknowledged(acknowledged=True)

    async def complete(self, call: Call[wire.CompleteTask, None]) -> Answer:
        holder = await self._holder(call)
        settled = await self._reports.complete(holder, call.path["task_id"], call.body, call.body.attempt)
        return wire.Acknowledged(acknowledged=True, duplicate=settled.duplicate, late=settled.late)

    async def release(self, call: Call[wire.ReleaseTask | None, None]) -> Answer:
        begun = None if call.body is None else call.body.begun
        holder = await self._holder(call)
        await self._reports.release(holder, call.path["task_id"], _lease(call), begun=begun)
        return wire.Acknowledged(acknowledged=True)

    async def _holder(self, call: Call[Any, None]) -> Holder:
        return holder_of(await self._deployments.get(agent_of(call).agent_id))


def _lease(call: Call[wire.LeaseReport | None, None] | Call[wire.ReleaseTask | None, None]) -> int | None:
    return None if call.body is None else call.body.lease
