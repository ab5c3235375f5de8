"""The heartbeat: a sign of life, a report, a renewal of leases and certificate, and a way to get tasks.

Order of what it does: the certificate first, because a CSR that is refused must not have cost leases; tasks
last, because they are leased into the answer, and only while the agent has no stream. An agent that sends no
list of its tasks does not acknowledge either: what it is sent counts as begun.
"""

import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.fleet.deployment.record import DeploymentAgent, Reported
from stellwerk.fleet.deployment.service import Deployments, Heard
from stellwerk.http.instants import microseconds
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.deployment.callers import agent_of, own_identity
from stellwerk.interfaces.deployment.delivering import Delivery
from stellwerk.interfaces.deployment.holding import Holding, holder_of
from stellwerk.interfaces.deployment.joining import JoiningRoutes
from stellwerk.interfaces.deployment.task_streams import TaskStreams
from stellwerk.interfaces.deployment.wire import agents as wire
from stellwerk.interfaces.deployment.words import stamp
from stellwerk.trust.certificates.judging import Identity
from stellwerk.trust.certificates.service import Identities
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.service import Work
from stellwerk.work.task import Assignment

LOADS = {"cpu": "cpu_usage", "memory": "memory_usage", "disk": "disk_usage"}
"""Names of the published figures (percentages) as the fleet knows them (fractions)."""


class HeartbeatRoute:
    """See the module."""

    def __init__(
        self,
        deployments: Deployments,
        identities: Identities,
        work: Work,
        *,
        holding: Holding,
        delivery: Delivery,
        joining: JoiningRoutes,
        streams: TaskStreams,
        clock: Clock,
    ) -> None:
        self._deployments = deployments
        self._identities = identities
        self._work = work
        self._holding = holding
        self._delivery = delivery
        self._joining = joining
        self._streams = streams
        self._clock = clock
        self._told: dict[str, wire.Config] = {}

    def operations(self) -> list[Operation]:
        """List the route."""
        return [
            Operation(
                method="POST",
                path="/api/v1/agents/{id}/heartbeat",
                handle=self.heartbeat,
                scope=None,
                check=own_identity,
                summary="Report, and get tasks, cancellations and a renewed certificate",
                tag="machines",
                takes=wire.Heartbeat,
                gives=wire.HeartbeatTaken,
                refuses=(409,),
            )
        ]

    async def heartbeat(self, call: Call[wire.Heartbeat, None]) -> Answer:
        identity, body = agent_of(call), call.body
        renewal = await self._renewal(identity, body.csr)
        if identity.expired:
            return wire.HeartbeatTaken(tasks=[], certificate_renewal=renewal)
        agent = await self._deployments.heard(identity, self._heard(call))
        holder = holder_of(agent)
        held = await self._holding.held(holder)
        stop = await self._holding.renew(holder, body.tasks, held)
        given: list[Assignment] = []
        if not self._streams.has(agent.agent_id):
            given = await self._holding.claim(agent, held)
            if body.tasks is None:
                given = await self._begun(given)
        return wire.HeartbeatTaken(
            tasks=await self._delivery.deliver_all(given),
            certificate_renewal=renewal,
            cancelled_tasks=stop or None,
            config=self._news(agent),
        )

    def _heard(self, call: Call[wire.Heartbeat, None]) -> Heard:
        body = call.body
        usage: Any = body.resource_usage or wire.ResourceUsage()
        figures = {name: getattr(usage, field) for field, name in LOADS.items()}
        load = {name: value / 100 for name, value in figures.items() if value is not None}
        reported = Reported(
            status=body.status,
            reasons=tuple(body.status_reasons),
            capabilities=None if body.capabilities is None else tuple(body.capabilities),
            running_tasks=body.running_tasks,
            clock_skew_s=self._clock_skew_s(call.header(b"date")),
        )
        return Heard(
            reported=reported,
            load=load or None,
            session=body.instance_id,
            version=body.version,
            max_tasks=body.max_tasks,
        )

    def _clock_skew_s(self, date: str | None) -> float:
        try:
            told = None if date is None else parsedate_to_datetime(date)
        except ValueError:
            return 0.0
        if told is None:
            return 0.0
        aware = told if told.tzinfo else told.replace(tzinfo=datetime.UTC)
        return round((microseconds(aware) - self._clock.now_us()) / MICROSECONDS, 1)

    async def _renewal(self, identity: Identity, csr: str | None) -> wire.CertificateRenewal | None:
        issued = await self._identities.renew(identity, csr)
        if issued is None:
            return None
        ends = stamp(issued.not_after)
        return wire.CertificateRenewal(cert=issued.certificate, ca=issued.ca, expires_at=ends)

    async def _begun(self, given: list[Assignment]) -> list[Assignment]:
        begun = []
        for one in given:
            try:
                standing = await self._work.acknowledge(one.holder, one.task_id, one.fence)
            except WorkRefused:
                continue  # Taken back in the same moment.
            if not standing.stop_asked:
                begun.append(one)
        return begun

    def _news(self, agent: DeploymentAgent) -> wire.Config | None:
        """Return what the agent is to do where that is new; after a restart of the server, once more."""
        config = self._joining.config(agent)
        if self._told.get(agent.agent_id) == config:
            return None
        self._told[agent.agent_id] = config
        return config

    def forget(self, agent_id: str) -> None:
        """Drop what was told to an agent that was removed."""
        self._told.pop(agent_id, None)
