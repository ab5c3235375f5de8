"""Remedies that are tasks of a deployment agent."""

from typing import Any

import msgspec

from stellwerk.fleet.deployment.changing import UnknownDeployment
from stellwerk.fleet.deployment.record import JOINED_THROUGH
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.inquiry.remedies.executors.executor import Order, Performed
from stellwerk.inquiry.remedies.remedy import CannotRemedy
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.requirements import Requirements
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Submission

WAIT_S = 900.0


class AgentTasks:
    """Submits a task to a named agent, once under the order's id, and waits for its end."""

    requires: Scope | None = Scope.TASKS_SUBMIT

    def __init__(self, work: Work, deployments: Deployments) -> None:
        self._work = work
        self._deployments = deployments

    async def preview(self, order: Order) -> tuple[str, ...]:
        """Say which task would be submitted. Raises CannotRemedy."""
        name = await self._agent(order)
        return (f"submit {order.parameters['type']} to the deployment agent {name}",)

    async def perform(self, order: Order) -> Performed:
        """Submit the task and wait. Raises CannotRemedy."""
        name = await self._agent(order)
        principal = Principal(order.by, order.by, frozenset({Scope.TASKS_SUBMIT}))
        try:
            submitted = await self._work.submit(principal, _submission(order, name))
        except WorkRefused as error:
            raise CannotRemedy("refused", str(error)) from error
        outcome = await self._work.result(submitted.task_id, WAIT_S)
        worked = outcome.finished and outcome.state is State.SUCCEEDED
        return Performed(f"task {submitted.task_id} {outcome.state.value}", submitted.task_id, worked)

    async def _agent(self, order: Order) -> str:
        try:
            return (await self._deployments.find(order.parameters["agent"])).name
        except UnknownDeployment as error:
            raise CannotRemedy(
                "unknown_agent", f"there is no deployment agent {order.parameters['agent']}"
            ) from error


def _submission(order: Order, agent: str) -> Submission:
    data: dict[str, Any] = {
        "task_type": order.parameters["type"],
        "parameters": order.parameters.get("params", {}),
    }
    return Submission(
        task_data=msgspec.json.encode(data).decode(),
        task_type=order.parameters["type"],
        requirements=Requirements(agent=agent),
        idempotency_key=order.id,
        repeatable=False,
        application=JOINED_THROUGH,
    )
