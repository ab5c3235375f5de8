"""Routes of nodes: join, give signs of life, leave, be seen."""

from stellwerk.clock import Clock
from stellwerk.fleet.errors import UnknownAgent
from stellwerk.fleet.model import NODES, AgentQuery, AgentView
from stellwerk.fleet.service import Fleet
from stellwerk.http.instants import iso
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.nodes import rendering
from stellwerk.interfaces.nodes.dialler import OutboundDialler
from stellwerk.interfaces.nodes.joining import registration_of
from stellwerk.interfaces.nodes.wire import nodes as wire
from stellwerk.interfaces.nodes.words import KIND, OFFLINE, health_of, meant_instance, new_condition
from stellwerk.settings import TrafficSettings
from stellwerk.traffic.service import Traffic
from stellwerk.trust.scopes import Scope

TAG = "nodes"


class NodeRoutes:
    """See the module."""

    def __init__(
        self,
        fleet: Fleet,
        traffic: Traffic,
        dialler: OutboundDialler,
        settings: TrafficSettings,
        clock: Clock,
    ) -> None:
        self._fleet = fleet
        self._traffic = traffic
        self._dialler = dialler
        self._settings = settings
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="POST",
                path="/api/v1/nodes/register",
                handle=self.register,
                scope=Scope.FLEET_WRITE,
                summary="Register a process of an agent, or update its registration",
                tag=TAG,
                takes=wire.RegisterNode,
                gives=wire.NodeRegistered,
                status=201,
                refuses=(409,),
            ),
            Operation(
                method="POST",
                path="/api/v1/nodes/{node_id}/heartbeat",
                handle=self.heartbeat,
                scope=Scope.FLEET_WRITE,
                summary="Give a sign of life",
                tag=TAG,
                takes=wire.NodeHeartbeat,
                body_required=False,
                gives=wire.HeartbeatReceived,
                refuses=(409,),
            ),
            Operation(
                method="POST",
                path="/api/v1/nodes/{node_id}/shutdown",
                handle=self.shutdown,
                scope=Scope.FLEET_WRITE,
                summary="Announce that a process leaves",
                tag=TAG,
                takes=wire.NodeShutdown,
                body_required=False,
                gives=wire.ShutdownAcknowledged,
                status=202,
                refuses=(409,),
            ),
            Operation(
                method="GET",
                path="/api/v1/nodes",
                handle=self.list,
                scope=Scope.FLEET_READ,
                summary="List agents",
                tag=TAG,
                query=wire.NodesQuery,
                gives=wire.Nodes,
            ),
            Operation(
                method="GET",
                path="/api/v1/nodes/{node_id}",
                handle=self.get,
                scope=Scope.FLEET_READ,
                summary="Show an agent with its processes",
                tag=TAG,
                gives=wire.Node,
            ),
        ]

    async def register(self, call: Call[wire.RegisterNode, None]) -> Answer:
        # The agent does not listen yet, and waits for this answer: it is not dialled here.
        known = await self._fleet.get_fresh(call.body.id)
        registration = registration_of(call.body, known, self._settings)
        instance = registration.instance or ""
        await self._fleet.register(call.principal, registration)
        self._traffic.joined(registration.group, instance)
        return wire.NodeRegistered(
            success=True,
            message="Node registered successfully",
            node_id=registration.group,
            version=registration.version,
            instance_id=instance,
        )

    async def heartbeat(self, call: Call[wire.NodeHeartbeat | None, None]) -> Answer:
        # Who beats will be called: the first call shall not wait for what the first heartbeat can.
        await self._dialler.prepare()
        body = call.body or wire.NodeHeartbeat()
        view = await self._known(call.path["node_id"])
        one = meant_instance(view, body.instance_id, body.version)
        if one is None:
            raise UnknownAgent(view.group, body.instance_id)
        if body.status == OFFLINE:
            await self._traffic.depart(call.principal, view.group, one.instance)
        elif not self._traffic.leaving(view.group, one.instance):
            await self._fleet.heartbeat(
                call.principal,
                view.group,
                one.instance,
                condition=new_condition(one, body.status),
                through=NODES,
            )
            self._traffic.heard(view.group, one.instance)
        return wire.HeartbeatReceived(
            success=True, message="heartbeat received", timestamp=iso(self._clock.now_us())
        )

    async def shutdown(self, call: Call[wire.NodeShutdown | None, None]) -> Answer:
        body = call.body or wire.NodeShutdown()
        view = await self._known(call.path["node_id"])
        named = body.instance_id or body.version
        one = meant_instance(view, body.instance_id, body.version)
        if named and one is None:
            raise UnknownAgent(view.group, body.instance_id)
        # Of several it is found out which one leaves, after this answer: the agent can say nothing before it.
        await self._traffic.depart(call.principal, view.group, None if one is None else one.instance)
        return wire.ShutdownAcknowledged(
            lease_seconds=0,
            next_lease_renewal=iso(self._clock.now_us()),
            message="shutdown acknowledged",
        )

    async def list(self, call: Call[None, wire.NodesQuery]) -> Answer:
        query = call.query
        found = sorted(
            (
                view
                for view in self._fleet.find(AgentQuery(kind=KIND))
                if view.joined_through == NODES
                and view.group > query.after
                and query.health_status in (None, health_of(view.standing))
            ),
            key=lambda view: view.group,
        )[: query.limit]
        return wire.Nodes(nodes=[rendering.node(view) for view in found], count=len(found))

    async def get(self, call: Call[None, None]) -> Answer:
        return rendering.node(await self._known(call.path["node_id"]))

    async def _known(self, group: str) -> AgentView:
        view = await self._fleet.get_fresh(group)
        if view is None or view.joined_through != NODES:
            raise UnknownAgent(group)
        return view
