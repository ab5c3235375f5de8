"""Routes about agents: join, find, report, leave."""

from collections.abc import Sequence
from typing import Any

import msgspec

from stellwerk.clock import Clock
from stellwerk.fleet.errors import InvalidId, UnknownAgent
from stellwerk.fleet.identifiers import check_version
from stellwerk.fleet.model import DEFAULT_VERSION, AgentQuery, AgentView, Registration
from stellwerk.fleet.service import Fleet
from stellwerk.http.instants import iso
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.problem import Problem
from stellwerk.interfaces.coordinator import rendering
from stellwerk.interfaces.coordinator.holders import instance_of
from stellwerk.interfaces.coordinator.wire import agents as wire
from stellwerk.interfaces.coordinator.wire import work as work_wire
from stellwerk.interfaces.coordinator.words import JOINED_THROUGH, agent_type, condition, standings
from stellwerk.trust.scopes import Scope
from stellwerk.work.offering import accepts, offer
from stellwerk.work.service import Work
from stellwerk.work.task import Assignment, Holder

REGISTRATION_BYTES = 262_144
"""Largest registration: its metadata is kept in memory for as long as the agent stays."""
UNAVAILABLE = "Agent registry not available"

encode = msgspec.json.Encoder().encode


class AgentRoutes:
    """See the module."""

    def __init__(self, fleet: Fleet, work: Work, rendered: rendering.Agents, clock: Clock) -> None:
        self._fleet = fleet
        self._work = work
        self._rendered = rendered
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="POST",
                path="/agents/register",
                handle=self.register,
                scope=Scope.FLEET_WRITE,
                summary="Register an agent, or update its registration",
                tag="agents",
                takes=wire.RegisterAgent,
                gives=wire.Registered,
                refuses=(409,),
                failure="Failed to register agent",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="POST",
                path="/agents/discover",
                handle=self.discover,
                scope=Scope.FLEET_READ,
                summary="Find agents, the healthiest first",
                tag="agents",
                takes=wire.DiscoverAgents,
                gives=wire.DiscoveredAgents,
                failure="Error discovering agents",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="GET",
                path="/agents/{agent_id}",
                handle=self.get,
                scope=Scope.FLEET_READ,
                summary="Show an agent",
                tag="agents",
                gives=wire.AgentAnswer,
                failure="Error getting agent",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="DELETE",
                path="/agents/{agent_id}",
                handle=self.remove,
                scope=Scope.FLEET_WRITE,
                summary="Remove an agent, or one of its instances",
                tag="agents",
                query=wire.InstanceQuery,
                gives=wire.AgentRemoved,
                refuses=(409,),
                failure="Error removing agent",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="PUT",
                path="/agents/{agent_id}/status",
                handle=self.set_status,
                scope=Scope.FLEET_WRITE,
                summary="Declare the status and the load of an agent",
                tag="agents",
                takes=wire.UpdateStatus,
                gives=wire.StatusUpdated,
                refuses=(409,),
                failure="Error updating agent status",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="POST",
                path="/agents/{agent_id}/heartbeat",
                handle=self.heartbeat,
                scope=Scope.FLEET_WRITE,
                summary="Report that an agent is there",
                tag="agents",
                takes=wire.Heartbeat,
                body_required=False,
                gives=work_wire.HeartbeatTaken,
                refuses=(409,),
                failure="Error receiving heartbeat",
                unavailable=UNAVAILABLE,
            ),
            Operation(
                method="GET",
                path="/agents/service/{service}",
                handle=self.by_service,
                scope=Scope.FLEET_READ,
                summary="Find agents that offer a service",
                tag="agents",
                gives=wire.ServiceAgents,
                failure="Error discovering agents",
                unavailable=UNAVAILABLE,
                misses=False,
            ),
            Operation(
                method="GET",
                path="/agents/capability/{capability}",
                handle=self.by_capability,
                scope=Scope.FLEET_READ,
                summary="Find agents that have a capability",
                tag="agents",
                gives=wire.CapabilityAgents,
                failure="Error discovering agents",
                unavailable=UNAVAILABLE,
                misses=False,
            ),
        ]

    async def register(self, call: Call[wire.RegisterAgent, None]) -> Answer:
        if len(call.raw) > REGISTRATION_BYTES:
            raise Problem.too_large(REGISTRATION_BYTES)
        done = await self._fleet.register(call.principal, registration(call.body))
        return wire.Registered(
            message=f"Agent {done.view.group} registered successfully",
            agent_id=done.view.group,
            registered_at=iso(done.view.registered_at),
        )

    async def discover(self, call: Call[wire.DiscoverAgents, None]) -> Answer:
        found = self._fleet.find(agent_query(call.body))
        return self._listing(found, b'"query":' + call.raw)

    async def get(self, call: Call[None, None]) -> Answer:
        view = await self._view(call.path["agent_id"])
        shown = rendering.agent_with_instances(view)
        return wire.AgentAnswer(agent=shown, timestamp=iso(self._clock.now_us()))

    async def remove(self, call: Call[None, wire.InstanceQuery]) -> Answer:
        group = call.path["agent_id"]
        await self._fleet.remove(call.principal, group, call.query.instance_id, through=JOINED_THROUGH)
        return wire.AgentRemoved(
            message=f"Agent {group} removed", agent_id=group, timestamp=iso(self._clock.now_us())
        )

    async def set_status(self, call: Call[wire.UpdateStatus, None]) -> Answer:
        group, body = call.path["agent_id"], call.body
        declared = condition(body.status)
        taken = await self._fleet.set_status(
            call.principal,
            group,
            declared,
            body.load_metrics,
            body.instance_id,
            through=JOINED_THROUGH,
        )
        return encode(
            {
                "status": "success",
                "message": f"Agent {group} status updated",
                "agent_id": group,
                "new_status": body.status,
                "updated_at": iso(taken.at_us),
            }
        )

    async def heartbeat(self, call: Call[wire.Heartbeat | None, None]) -> Answer:
        group, body = call.path["agent_id"], call.body or _PLAIN_HEARTBEAT
        if body.claim and not call.principal.may(Scope.TASKS_WORK):
            raise Problem.forbidden(f"Claiming needs the scope {Scope.TASKS_WORK.value}", "missing_scope")
        declared = None if body.status is None else condition(body.status)
        taken = await self._fleet.heartbeat(
            call.principal,
            group,
            body.instance_id,
            body.load_metrics,
            declared,
            through=JOINED_THROUGH,
        )
        holder = Holder(group, instance_of(taken.view, body.instance_id).instance)
        await self._work.heartbeat(holder)
        given = await self._claim(taken.view, holder, body.claim) if body.claim else None
        return work_wire.HeartbeatTaken(
            status="success",
            message=f"Heartbeat received from {group}",
            agent_id=group,
            heartbeat_at=iso(taken.at_us),
            tasks=None if given is None else rendering.assignments(given),
        )

    async def by_service(self, call: Call[None, None]) -> Answer:
        service = call.path["service"]
        found = self._fleet.find(AgentQuery(services=(service,)))
        return self._listing(found, b'"service":' + encode(service))

    async def by_capability(self, call: Call[None, None]) -> Answer:
        capability = call.path["capability"]
        found = self._fleet.find(AgentQuery(capabilities=(capability,)))
        return self._listing(found, b'"capability":' + encode(capability))

    async def _view(self, group: str) -> AgentView:
        view = self._fleet.get(group) or await self._fleet.get_fresh(group)
        if view is None:
            raise UnknownAgent(group)
        return view

    async def _claim(self, view: AgentView, holder: Holder, limit: int) -> list[Assignment]:
        instance = instance_of(view, holder.instance)
        if not accepts(instance):
            return []
        return await self._work.claim(holder, offer(view, instance), limit)

    def _listing(self, found: Sequence[AgentView], asked: bytes) -> bytes:
        return b'{"status":"success",%b,"agents":%b,"count":%d,"timestamp":"%b"}' % (
            asked,
            self._rendered.render_all(found),
            len(found),
            iso(self._clock.now_us()).encode(),
        )


_PLAIN_HEARTBEAT = wire.Heartbeat()


def registration(body: wire.RegisterAgent) -> Registration:
    """Read a registration; what its fields do not say is looked for in its metadata. Raises Problem."""
    metadata = body.metadata
    if body.max_concurrency is not None:
        metadata = {**metadata, "max_concurrency": body.max_concurrency}
    return Registration(
        group=body.agent_id,
        joined_through=JOINED_THROUGH,
        kind=agent_type(body.agent_type).value,
        instance=body.instance_id,
        version=body.version or _version(metadata.get("version")),
        capabilities=tuple(body.capabilities),
        services=tuple(body.services),
        tags=tuple(body.tags if body.tags is not None else _texts(metadata.get("tags"))),
        labels=body.labels if body.labels is not None else _labels(metadata.get("labels")),
        endpoints=body.endpoints,
        metadata=metadata,
    )


def _version(given: Any) -> str:
    # metadata is the agent's own; what cannot be a version there is no reason to refuse the agent
    try:
        return check_version(given) if isinstance(given, str) else DEFAULT_VERSION
    except InvalidId:
        return DEFAULT_VERSION


def _texts(given: Any) -> list[str]:
    return [text for text in given if isinstance(text, str)] if isinstance(given, list) else []


def _labels(given: Any) -> dict[str, str]:
    pairs = given.items() if isinstance(given, dict) else ()
    return {name: value for name, value in pairs if isinstance(value, str)}


def agent_query(body: wire.DiscoverAgents) -> AgentQuery:
    """Read what to look for; an unknown type or status finds nothing, as existing clients expect."""
    return AgentQuery(
        kind=body.agent_type,
        standings=None if body.status is None else standings(body.status),
        capabilities=tuple(body.capabilities or ()),
        services=tuple(body.services or ()),
        tags=tuple(body.tags or ()),
        labels=body.labels or {},
        min_health_score=body.min_health_score,
        limit=body.limit,
    )
