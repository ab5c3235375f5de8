"""Asking one instance to end: itself, at its published `/shutdown`, or the machine that has its container."""

import msgspec

from stellwerk.clock import MICROSECONDS
from stellwerk.fleet.service import Fleet
from stellwerk.traffic.dialling import AnswerLost, DialForbidden, Dialler, NotDialled
from stellwerk.traffic.restart import Container, Restart, Step
from stellwerk.trust.principal import Principal
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.requirements import Requirements
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Submission

DRAIN_S = 5
"""Time that an instance gives its calls under way, as in the published example."""
ASK_LIMIT_S = 10.0
TASK_LIMIT_US = 120 * MICROSECONDS
GRACEFUL = msgspec.json.encode({"graceful": True, "timeout_seconds": DRAIN_S})
HEADERS = {"content-type": "application/json"}
TASK_TYPE = "docker.restart"


class CannotAsk(Exception):
    """Nobody was asked, or who was asked has refused; the message says why."""


class Asking:
    """See the module."""

    def __init__(self, dialler: Dialler, fleet: Fleet, work: Work) -> None:
        self._dialler = dialler
        self._fleet = fleet
        self._work = work

    async def ask(self, restart: Restart, step: Step, container: Container | None) -> str | None:
        """Ask the instance of the present step to end; return the task, if it is one for a machine.

        Raises CannotAsk.
        """
        if container is not None:
            return await self._ask_machine(restart, step, container)
        await self._ask_instance(step)
        return None

    async def failure_of(self, task_id: str) -> str | None:
        """Say why a task has failed; None if it has not."""
        outcome = await self._work.result(task_id)
        if not outcome.finished or outcome.state is State.SUCCEEDED:
            return None
        return (
            f"Task {task_id} ended as {outcome.state.value}: {outcome.error or outcome.reason or 'no reason'}"
        )

    async def _ask_instance(self, step: Step) -> None:
        if step.url is None:
            raise CannotAsk(f"Instance {step.instance} has no address to be asked at")
        try:
            url = step.url.rstrip("/") + "/shutdown"
            answer = await self._dialler.post(url, GRACEFUL, HEADERS, ASK_LIMIT_S)
        except NotDialled as error:
            if error.refused:  # The process is gone already: its supervisor is about to start it again.
                return
            raise CannotAsk(f"Instance {step.instance} could not be reached: {error}") from error
        except DialForbidden as error:
            raise CannotAsk(f"Instance {step.instance} may not be dialled: {error}") from error
        except AnswerLost:
            return  # It may have heard us; the fleet will show it.
        if answer.status >= 300:
            raise CannotAsk(f"Instance {step.instance} answered {answer.status} to POST /shutdown")

    async def _ask_machine(self, restart: Restart, step: Step, container: Container) -> str:
        machine = await self._fleet.get_fresh(container.agent)
        if machine is None:
            raise CannotAsk(f"There is no deployment agent {container.agent}")
        data = {"task_type": TASK_TYPE, "parameters": {"name": container.container}}
        submission = Submission(
            task_data=msgspec.json.encode(data).decode(),
            task_type=TASK_TYPE,
            requirements=Requirements(agent=container.agent),
            requirements_text=msgspec.json.encode({"agent": container.agent}).decode(),
            # Once: a second one would end the process that the first has started.
            repeatable=False,
            idempotency_key=f"{restart.restart_id}-{restart.steps.index(step)}",
            expires_us=TASK_LIMIT_US,
            timeout_us=TASK_LIMIT_US,
            application=machine.joined_through,
        )
        by = Principal(restart.requested_by, restart.requested_by, frozenset())
        try:
            return (await self._work.submit(by, submission)).task_id
        except WorkRefused as error:
            raise CannotAsk(f"The task for {container.agent} was refused: {error}") from error
