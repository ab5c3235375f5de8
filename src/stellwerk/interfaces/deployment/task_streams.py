"""The open task-streams: who may connect, their seats, and what happens to them from outside."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from stellwerk.clock import Clock
from stellwerk.fleet.deployment.record import DeploymentAgent
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.http.duplex import Receive, Send
from stellwerk.http.problem import Problem
from stellwerk.http.websocket import ON_PONG
from stellwerk.interfaces.deployment.callers import own_identity
from stellwerk.interfaces.deployment.delivering import Delivery
from stellwerk.interfaces.deployment.holding import NO_CAP, Holding, holder_of
from stellwerk.interfaces.deployment.reports import Reports
from stellwerk.interfaces.deployment.task_stream import REPLACED, Ends, TaskStream
from stellwerk.interfaces.deployment.wire import agents as wire
from stellwerk.interfaces.deployment.wire import frames
from stellwerk.loop import Loop
from stellwerk.trust.certificates.judging import Code, Refused
from stellwerk.trust.certificates.service import Identities
from stellwerk.work.seats import Seat
from stellwerk.work.service import Work

CHECK_S = 5.0
"""How often ended certificates, renewals of leases and peers that do not read are looked for."""
PROTOCOL = "agent.v1"


class TaskStreams:
    """Accepts the agents' streams; one for each agent, the newest."""

    def __init__(
        self,
        deployments: Deployments,
        identities: Identities,
        work: Work,
        *,
        holding: Holding,
        delivery: Delivery,
        reports: Reports,
        clock: Clock,
    ) -> None:
        self._deployments = deployments
        self._identities = identities
        self._work = work
        self._holding = holding
        self._ends = Ends(work, identities, deployments, delivery, reports, clock, set())
        self._open: dict[str, TaskStream] = {}
        self.loop = Loop("deployment.streams", self._check)
        self._unlisten: Callable[[], object] | None = None
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def has(self, agent_id: str) -> bool:
        """Tell whether the agent has a stream open here."""
        stream = self._open.get(agent_id)
        return stream is not None and stream.alive

    def start(self) -> None:
        """Begin to look after streams; may be called more than once."""
        self._stopping = False
        if self._unlisten is None:
            self._unlisten = self._identities.on_revoked(self._revoked)
        self.loop.start()

    async def stop(self, limit_s: float) -> None:
        """Let steps under way end and close every stream with 1012; may be called more than once."""
        self._stopping = True
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await self.loop.stop()
        await asyncio.gather(*(stream.drain(limit_s) for stream in list(self._open.values())))

    async def connect(self, scope: Mapping[str, Any], receive: Receive, send: Send, agent_id: str) -> None:
        """Serve one stream. Raises Problem and the subjects' refusals before it is accepted."""
        identity = own_identity(scope["state"]["principal"], {"id": agent_id})
        if self._stopping:
            raise Problem.unavailable("The server stops", 1.0)
        agent = await self._deployments.get(agent_id)
        holder = holder_of(agent)
        self._holding.seen(agent)
        await receive()
        offered = PROTOCOL if PROTOCOL in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": offered})
        stream = TaskStream(
            self._ends, agent, identity, holder=holder, send=send, acknowledges=offered is not None
        )
        scope["state"][ON_PONG] = stream.pong
        replaced = self._open.get(agent_id)
        if replaced is not None:
            replaced.end(REPLACED, "A newer connection of this agent took over")
        self._open[agent_id] = stream
        self._holding.busy(holder)
        seat = self._seat(agent, stream)
        try:
            await stream.serve(receive, await self._work.connect(seat))
        finally:
            if self._open.get(agent_id) is stream:
                del self._open[agent_id]
            # The agent goes on over HTTP: its heartbeats renew its leases.
            self._work.disconnect(seat, shorten=False)
            self._holding.busy(holder)

    def configure(self, agent: DeploymentAgent, config: wire.Config) -> None:
        """Tell a connected agent what it is to do from now on."""
        stream = self._open.get(agent.agent_id)
        if stream is not None:
            stream.put(frames.Configured(config=config))

    def _seat(self, agent: DeploymentAgent, stream: TaskStream) -> Seat:
        _, instance = self._holding.seen(agent)
        return Seat(
            holder=stream.holder,
            attributes=self._holding.attributes(agent),
            capacity=agent.max_tasks or NO_CAP,
            channel=stream,
            accepting=self._holding.accepts(agent),
            weight=instance.weight_hint,
            succeeded=instance.succeeded,
            failed=instance.failed,
            response_ms=instance.response_ms,
            load=instance.load,
            begins=stream.begins,
        )

    def _revoked(self, agent_id: str) -> None:
        stream = self._open.get(agent_id)
        if stream is not None:
            stream.refused(Refused(Code.REVOKED, agent_id, stream.identity.serial))

    async def _check(self) -> None:
        while await self.loop.rest(CHECK_S):
            for stream in list(self._open.values()):
                stream.check()
                refused = self._identities.still_valid(stream.identity)
                if refused is not None:
                    stream.refused(refused)
