"""Deployment agents as holders: what they offer, what they hold, and what a heartbeat makes of it."""

from collections.abc import Sequence

from stellwerk.fleet.deployment.record import INSTANCE, LEAVING, DeploymentAgent
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.fleet.model import AgentView, InstanceView
from stellwerk.http.problem import Problem
from stellwerk.interfaces.deployment.wire.agents import HeldTask
from stellwerk.work.matching import Attributes
from stellwerk.work.offering import accepts, offer
from stellwerk.work.refusals import UnknownTask
from stellwerk.work.service import Work
from stellwerk.work.states import Reason, State
from stellwerk.work.task import Assignment, Holder

AT_ONCE = 100
"""Tasks of one answer for an agent without a cap."""
NO_CAP = 10_000
LOOKED_AT = 20
"""Tasks that an agent says it has, and the server does not, that one heartbeat looks up."""


def holder_of(agent: DeploymentAgent) -> Holder:
    """Return the agent as a holder; it stays the same whatever process speaks for it."""
    return Holder(agent.name, INSTANCE)


class Holding:
    """See the module."""

    def __init__(self, work: Work, deployments: Deployments, *, alone: bool) -> None:
        """`alone` tells that no other replica hands out tasks."""
        self._work = work
        self._deployments = deployments
        self._alone = alone
        self._idle: set[Holder] = set()
        self._given = 0
        """Grows whenever somebody may have got something: what was read before is then no news."""

    def attributes(self, agent: DeploymentAgent) -> Attributes:
        """Return what matching looks at. Raises Problem where the fleet has lost the agent."""
        return offer(*self._seen(agent), certified=True)

    def accepts(self, agent: DeploymentAgent) -> bool:
        """Tell whether the agent is given new tasks."""
        return accepts(self._seen(agent)[1]) and agent.reported.status not in LEAVING

    def seen(self, agent: DeploymentAgent) -> tuple[AgentView, InstanceView]:
        """Return the agent and its only instance as the fleet has them."""
        return self._seen(agent)

    def busy(self, holder: Holder) -> None:
        """Note that a holder may have got something."""
        self._given += 1
        self._idle.discard(holder)

    async def held(self, holder: Holder) -> list[Assignment]:
        """Return what the holder has; nothing is asked for one that is known to have nothing."""
        if self._alone and holder in self._idle:
            return []
        given = self._given
        held = await self._work.held(holder)
        if not held and given == self._given and self._work.seats.get(holder) is None:
            self._idle.add(holder)
        return held

    async def claim(self, agent: DeploymentAgent, held: Sequence[Assignment]) -> list[Assignment]:
        """Lease what the agent may have now, as far as its cap and the server's own count of leases go."""
        if not self.accepts(agent):
            return []
        room = AT_ONCE if agent.max_tasks is None else min(AT_ONCE, agent.max_tasks - len(held))
        if room <= 0:
            return []
        holder = holder_of(agent)
        given = await self._work.claim(holder, self.attributes(agent), room)
        if given:
            self.busy(holder)
        return given

    async def renew(
        self, holder: Holder, listed: Sequence[HeldTask] | None, held: Sequence[Assignment]
    ) -> list[str]:
        """Renew the leases that the agent says it has (None: all); return what it shall stop."""
        if listed is None:
            if held:
                await self._work.heartbeat(holder)
            return [one.task_id for one in held if one.state is State.CANCELLING]
        said = {task.task_id: task for task in listed}
        stop = []
        for one in held:
            task = said.get(one.task_id)
            if one.state is State.CANCELLING:
                stop.append(one.task_id)
            elif task is not None and task.attempt in (None, one.attempt):
                progress = None if task.progress is None else task.progress / 100
                self._work.renew(holder, one.task_id, one.fence, progress)
        known = {one.task_id for one in held}
        return stop + await self._ended([task_id for task_id in said if task_id not in known][:LOOKED_AT])

    async def _ended(self, task_ids: Sequence[str]) -> list[str]:
        """Return those that were ended here while the agent was away and still works on them.

        One that is lost may go on: its result will correct that.
        """
        stop = []
        for task_id in task_ids:
            try:
                task = await self._work.get(task_id)
            except UnknownTask:
                continue
            if task.state is State.CANCELLED or task.reason == Reason.TIMED_OUT:
                stop.append(task_id)
        return stop

    def _seen(self, agent: DeploymentAgent) -> tuple[AgentView, InstanceView]:
        view = self._deployments.view(agent)
        instance = None if view is None else view.instance(INSTANCE)
        if view is None or instance is None:
            raise Problem.not_found("Agent not found", "agent.not_found")
        return view, instance
