"""Routes by which agents join: registration, the server's roots, tokens beside a certificate."""

from typing import Any

from stellwerk.clock import MICROSECONDS
from stellwerk.fleet.deployment.changing import Applicant
from stellwerk.fleet.deployment.record import DeploymentAgent, Target
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.http.operation import Answer, Call, Operation, Raw
from stellwerk.interfaces.deployment.callers import agent_of, own_identity
from stellwerk.interfaces.deployment.holding import holder_of
from stellwerk.interfaces.deployment.wire import agents as wire
from stellwerk.interfaces.deployment.words import stamp
from stellwerk.trust.certificates.service import Identities, Issued
from stellwerk.trust.enrolment.tokens import Reason, TokenRefused
from stellwerk.work.service import Work

TOKEN_HEADERS = (b"x-agent-token", b"x-registration-token")
PEM = "application/x-pem-file"
POLL_S = 5.0
"""How often an agent without a stream may look for tasks."""


class JoiningRoutes:
    """See the module."""

    def __init__(self, deployments: Deployments, identities: Identities, work: Work) -> None:
        self._deployments = deployments
        self._identities = identities
        self._work = work

    def operations(self) -> list[Operation]:
        """List the routes."""
        text: dict[str, Any] = {"type": "string", "description": "A registration token: `reg_…`."}
        return [
            Operation(
                method="POST",
                path="/api/v1/agents/register",
                handle=self.register,
                scope=None,
                summary="Register an agent with a registration token",
                description="The token admits one agent; a refused request does not use it up. A lost answer"
                " is repeated for the same token with the same CSR key.",
                tag="machines",
                takes=wire.RegisterAgent,
                gives=wire.AgentRegistered,
                status=201,
                headers={"X-Agent-Token": text, "X-Registration-Token": text},
                refuses=(401, 409, 503),
            ),
            Operation(
                method="GET",
                path="/api/v1/agents/ca",
                handle=self.ca,
                scope=None,
                summary="Show the roots that verify the server",
                description="Compare a fingerprint with the one that was printed beside the token.",
                tag="machines",
                gives=wire.ServerCa,
            ),
            Operation(
                method="GET",
                path="/api/v1/agents/crl",
                handle=self.crl,
                scope=None,
                summary="List the revoked certificates, for whoever verifies agents without asking",
                tag="machines",
                gives=PEM,
            ),
            Operation(
                method="POST",
                path="/api/v1/agents/token",
                handle=self.token,
                scope=None,
                check=own_identity,
                summary="Get a token bound to the certificate, for use behind a proxy",
                tag="machines",
                gives=wire.IssuedToken,
            ),
        ]

    async def register(self, call: Call[wire.RegisterAgent, None]) -> Answer:
        token = next(filter(None, map(call.header, TOKEN_HEADERS)), None)
        if token is None:
            raise TokenRefused(Reason.INVALID, "Send a registration token: X-Agent-Token: reg_…")
        body = call.body
        applicant = Applicant(
            name=body.name,
            version=body.version,
            capabilities=tuple(dict.fromkeys(body.capabilities)),
            labels=body.labels,
            targets=targets(body.targets),
            max_tasks=body.max_tasks,
            session=body.instance_id,
        )
        enrolled = await self._deployments.enrol(token, applicant, body.csr)
        agent, issued = enrolled.created, enrolled.issued
        if enrolled.admission.replaces is not None and not enrolled.admission.repeated:
            await self._work.parting.part_from(holder_of(agent), succeeded=True)
        ticket, _ = self._identities.ticket(self._identities.identity_of(issued))
        return wire.AgentRegistered(
            agent_id=agent.agent_id, token=ticket, config=self.config(agent), certificate=certificate(issued)
        )

    async def ca(self, call: Call[None, None]) -> Answer:
        return wire.ServerCa(ca=self._identities.server_ca, sha256=self._identities.server_pins)

    async def crl(self, call: Call[None, None]) -> Answer:
        return Raw(self._identities.crl().encode(), PEM)

    async def token(self, call: Call[None, None]) -> Answer:
        token, life_s = self._identities.ticket(agent_of(call))
        return wire.IssuedToken(token=token, expires_in=life_s)

    def config(self, agent: DeploymentAgent) -> wire.Config:
        """Say what the agent is to do."""
        return wire.Config(
            heartbeat_interval=self._deployments.interval_s(),
            task_poll_interval=self._deployments.poll_s(POLL_S),
            log_level=agent.log_level,
            certificate_renew_after=self._identities.renew_after_s,
        )


def certificate(issued: Issued) -> wire.Certificate:
    """Show a certificate that was just issued."""
    ends = stamp(issued.not_after // MICROSECONDS * MICROSECONDS)
    return wire.Certificate(cert=issued.certificate, ca=issued.ca, expires_at=ends, key=issued.key)


def targets(given: list[wire.Target]) -> tuple[Target, ...]:
    """Read what an agent may act on."""
    return tuple(Target(host=one.host, labels=one.labels) for one in given)
