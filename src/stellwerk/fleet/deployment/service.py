"""The use cases of deployment agents.

Theory of operation. The database is the truth; memory holds every agent for the heartbeats. Changes go
through the fleet's turn of the agent's name, so that record and membership are one transaction and memory
follows in order. Where replicas share the database, what is in memory is read again after a second. Figures
of a heartbeat (load, running tasks) are kept in memory; whatever else it says anew is committed before its
answer.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.fleet.deployment import store
from stellwerk.fleet.deployment.changing import (
    Applicant,
    UnknownDeployment,
    admit,
    change,
    check_capabilities,
    dismiss,
    same_but_for_load,
)
from stellwerk.fleet.deployment.pacing import LOOKS_PER_S, interval_s
from stellwerk.fleet.deployment.record import JOINED_THROUGH, DeploymentAgent, Reported
from stellwerk.fleet.deployment.sessions import Sessions
from stellwerk.fleet.deployment.standing import Expected, Observed, Stands, keeps_leases, stands
from stellwerk.fleet.errors import UnknownAgent
from stellwerk.fleet.membership import Membership
from stellwerk.fleet.model import AgentView
from stellwerk.fleet.service import Fleet
from stellwerk.journal.service import Journal
from stellwerk.settings import FleetSettings
from stellwerk.trust.certificates.judging import Identity
from stellwerk.trust.certificates.service import Enrolled, Identities
from stellwerk.trust.enrolment.tokens import Admission, Application
from stellwerk.trust.principal import Principal

FRESH_US = MICROSECONDS
"""With replicas, how long a record in memory is taken for the truth."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What one heartbeat says."""

    reported: Reported
    load: Mapping[str, float] | None = None
    session: str | None = None
    version: str | None = None
    max_tasks: int | None = None


class ChangedMeanwhile(Exception):
    """Refuse a change of an agent that is not as its author saw it."""


class Deployments:
    """The deployment agents of the fleet."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        fleet: Fleet,
        identities: Identities,
        *,
        settings: FleetSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._journal = journal
        self._fleet = fleet
        self._identities = identities
        self._clock = clock
        self._settings = settings
        self._shared = database.engine == "postgres"
        self._agents: dict[str, DeploymentAgent] = {}
        self._names: dict[str, str] = {}
        self._read_at: dict[str, int] = {}
        self._certificate_ends: dict[str, int] = {}
        self.sessions = Sessions(settings.heartbeat_interval_s)

    async def start(self) -> None:
        """Read every agent; may be called more than once. Raises DatabaseUnavailable."""
        await self.list()

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def enrol(self, token: str, applicant: Applicant, csr: str | None) -> Enrolled[DeploymentAgent]:
        """Let an agent join on its registration token: burnt, recorded and in the fleet, or nothing of it.

        Raises TokenRefused, RequestRefused, ServerKeysDenied, NameTaken, and what the fleet refuses.
        """
        application = Application(applicant.name, applicant.capabilities, applicant.labels)

        async def write(membership: Membership) -> Enrolled[DeploymentAgent]:
            def create(admission: Admission) -> Unit[DeploymentAgent]:
                revoke = None
                if admission.replaces is not None:
                    by = Principal(admission.created_by, admission.created_by, frozenset())
                    revoke = self._identities.revoke_unit(admission.replaces, "replaced", by)
                return admit(applicant, admission, membership, revoke, membership.now_us)

            return await self._identities.enrol(token, application, csr, create)

        enrolled = await self._fleet.take_part(applicant.name, write)
        if enrolled.admission.replaces is not None:
            await self._forget(enrolled.admission.replaces)
        self._know(enrolled.created)
        return enrolled

    async def get(self, agent_id: str) -> DeploymentAgent:
        """Return an agent. Raises UnknownDeployment."""
        agent = self._agents.get(agent_id)
        stale = self._shared and self._read_at.get(agent_id, 0) + FRESH_US <= self._clock.now_us()
        if stale or (agent is None and self._shared):
            agent = await self._database.read(lambda: store.read(agent_id))
            if agent is not None and agent.deleted_at is None:
                self._know(agent)
        if agent is None or agent.deleted_at is not None:
            raise UnknownDeployment(agent_id)
        return agent

    async def find(self, name_or_id: str) -> DeploymentAgent:
        """Return the agent that has this id or this name. Raises UnknownDeployment."""
        known = self._names.get(name_or_id, name_or_id)
        try:
            agent = await self.get(known)
        except UnknownDeployment:
            agent = None
        if agent is not None and name_or_id in (agent.agent_id, agent.name):
            return agent
        named = await self._database.read(lambda: store.read_named(name_or_id))
        if named is None:
            raise UnknownDeployment(name_or_id)
        self._know(named)
        return named

    async def list(self) -> list[DeploymentAgent]:
        """Return every agent, by name."""
        if self._shared or not self._agents:
            for agent in await self._database.read(store.read_all):
                self._know(agent)
        return sorted(self._agents.values(), key=lambda agent: agent.name)

    async def update(
        self, by: Principal, agent_id: str, fields: Mapping[str, object], seen: int | None = None
    ) -> DeploymentAgent:
        """Change what an operator may change; `seen` is the `updated_at` that the operator saw, None for any.

        Raises UnknownDeployment, ChangedMeanwhile, BeyondToken, InvalidRegistration.
        """
        before = await self.get(agent_id)
        if seen is not None and before.updated_at != seen:
            raise ChangedMeanwhile("The agent was changed meanwhile; look at it again")
        after = replace(before, **fields)
        if "allowed_capabilities" in fields:
            check_capabilities(after)
        return await self._change(before, after, by)

    async def heard(self, identity: Identity, heard: Heard) -> DeploymentAgent:
        """Take a heartbeat of the agent. Raises UnknownDeployment, SessionConflict, DatabaseUnavailable."""
        before = await self.get(identity.agent_id)
        self.speak(before.agent_id, heard.session)
        self._certificate_ends[before.agent_id] = identity.not_after
        after = replace(
            before,
            reported=heard.reported,
            session_id=heard.session or before.session_id,
            version=heard.version or before.version,
            max_tasks=heard.max_tasks if heard.max_tasks is not None else before.max_tasks,
        )
        plain = replace(after, reported=before.reported)
        if plain != before or not same_but_for_load(before.reported, heard.reported):
            after = await self._change(before, after, None)
        self._know(after)
        await self._hear(after, heard.load)
        return after

    async def contact(self, agent_id: str) -> None:
        """Take a sign of life that says nothing. Raises UnknownDeployment, DatabaseUnavailable."""
        await self._hear(await self.get(agent_id), None, say_condition=False)

    async def remove(self, by: Principal, agent_id: str) -> DeploymentAgent:
        """Remove an agent and revoke its certificates at once. Raises UnknownDeployment."""
        agent = await self.get(agent_id)

        async def write(membership: Membership) -> DeploymentAgent:
            return await self._database.write(
                lambda: dismiss(
                    agent_id, membership, self._identities.revoke_unit(agent_id, "removed", by), by
                )
            )

        gone = await self._fleet.take_part(agent.name, write)
        await self._forget(agent_id)
        return gone

    def has(self, name: str) -> bool:
        """Tell whether the group of this name is a deployment agent."""
        view = self._fleet.get(name)
        return view is not None and view.joined_through == JOINED_THROUGH

    def speak(self, agent_id: str, session: str | None) -> None:
        """Note which process speaks for the agent. Raises SessionConflict for one that was replaced."""
        self.sessions.take(agent_id, session, self._clock.now_us())

    def view(self, agent: DeploymentAgent) -> AgentView | None:
        """Return the agent as the fleet sees it."""
        view = self._fleet.get(agent.name)
        return view if view is not None and view.joined_through == JOINED_THROUGH else None

    def stands(self, agent: DeploymentAgent) -> Stands:
        """Tell how the agent stands now, and why."""
        now_us = self._clock.now_us()
        observed = Observed(
            self._certificate_ends.get(agent.agent_id),
            self._identities.cloned_at(agent.agent_id),
            self.sessions.conflicting(agent.agent_id, now_us),
        )
        return stands(agent, self.view(agent), observed, now_us, self._expected())

    def interval_s(self) -> int:
        """Return the seconds between two heartbeats of an agent, for a fleet of this size."""
        return interval_s(len(self._agents), self._settings.heartbeat_interval_s)

    def poll_s(self, least_s: float) -> int:
        """Return the seconds between two looks of an agent that has no stream."""
        return interval_s(len(self._agents), least_s, LOOKS_PER_S)

    def excused(self, lease_s: float) -> tuple[DeploymentAgent, ...]:
        """Return the agents that are silent, but not for so long that what they do is given up.

        `lease_s` is how long a lease lasts that is renewed now.
        """
        now_us, expected = self._clock.now_us(), self._expected()
        lease_us = int(lease_s * MICROSECONDS)
        grace_us = int(self._settings.offline_grace_s * MICROSECONDS)
        return tuple(
            agent
            for agent in self._agents.values()
            if (view := self.view(agent)) is not None
            and keeps_leases(now_us - view.seen_at, expected, lease_us, grace_us)
        )

    def _expected(self) -> Expected:
        interval_us = self.interval_s() * MICROSECONDS
        return Expected(interval_us, interval_us * self._settings.late_after)

    async def _change(
        self, before: DeploymentAgent, after: DeploymentAgent, by: Principal | None
    ) -> DeploymentAgent:
        async def write(membership: Membership) -> DeploymentAgent:
            return await self._database.write(lambda: change(before, after, membership, by))

        changed = await self._fleet.take_part(before.name, write)
        self._know(changed)
        return changed

    async def _hear(
        self, agent: DeploymentAgent, load: Mapping[str, float] | None, *, say_condition: bool = True
    ) -> None:
        condition = agent.condition if say_condition else None
        try:
            await self._fleet.heartbeat(
                agent.principal, agent.name, None, load, condition, through=JOINED_THROUGH
            )
        except UnknownAgent:
            raise UnknownDeployment(agent.agent_id) from None

    async def _forget(self, agent_id: str) -> None:
        agent = self._agents.pop(agent_id, None)
        if agent is not None and self._names.get(agent.name) == agent_id:
            del self._names[agent.name]
        for known in (self._read_at, self._certificate_ends):
            known.pop(agent_id, None)
        self.sessions.forget(agent_id)
        await self._identities.revoked(agent_id)

    def _know(self, agent: DeploymentAgent) -> None:
        self._agents[agent.agent_id] = agent
        self._names[agent.name] = agent.agent_id
        self._read_at[agent.agent_id] = self._clock.now_us()
