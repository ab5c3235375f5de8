"""Routes about agents: the manifest, reasoners, groups, nodes."""

from collections.abc import Iterable, Iterator

import msgspec

from stellwerk.fleet.deployment.record import JOINED_THROUGH as MACHINES
from stellwerk.fleet.errors import UnknownAgent
from stellwerk.fleet.model import AgentQuery, AgentView
from stellwerk.fleet.service import Fleet
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.connector import rendering, wire
from stellwerk.interfaces.connector.dialects import Dialect, acting, connector_of, may_see
from stellwerk.interfaces.connector.paging import page_of
from stellwerk.interfaces.connector.routes import Routes
from stellwerk.traffic.execution import OptionChanges, VersionStanding
from stellwerk.traffic.service import Traffic
from stellwerk.trust.connectors.capabilities import Capability
from stellwerk.trust.principal import Principal


class AgentRoutes(Routes):
    """See the module."""

    def __init__(self, dialect: Dialect, fleet: Fleet, traffic: Traffic) -> None:
        super().__init__(dialect)
        self._fleet = fleet
        self._traffic = traffic

    def operations(self) -> list[Operation]:
        """List the routes."""
        read, write, status = Capability.REASONERS_READ, Capability.REASONERS_WRITE, Capability.STATUS_READ
        return [
            *self._manifest(),
            self.route("GET", "/reasoners", self.list_reasoners, read, wire.Reasoners,
                       "List the versions of all agents", query=wire.PageQuery),
            self.route("GET", "/reasoners/{id}", self.get_reasoner, read, wire.ReasonerDetail,
                       "Show an agent"),
            self.route("PATCH", "/reasoners/{id}", self.change_reasoner, write, wire.ReasonerDetail,
                       "Change metadata, stickiness, concurrency or supervisor of an agent",
                       takes=wire.ChangeReasoner),
            self.route("GET", "/groups", self.list_groups, read, wire.Groups,
                       "List agents as groups of their versions", query=wire.GroupsQuery),
            self.route("GET", "/groups/{id}", self.list_group_nodes, read, wire.Nodes,
                       "List the versions of an agent"),
            self.route("GET", "/groups/{id}/nodes", self.list_nodes_of_group, read, wire.Nodes,
                       "List the versions of an agent"),
            self.route("GET", "/nodes", self.list_nodes, status, wire.AllNodes,
                       "List the versions of all agents as nodes", query=wire.PageQuery),
            self.route("GET", "/nodes/{id}/status", self.get_node_status, status, wire.NodeStatus,
                       "Show in short how an agent stands"),
        ]  # fmt: skip

    def _manifest(self) -> Iterator[Operation]:
        if self.dialect.name == "documented":
            gives: type[wire.Wire] = wire.DocumentedManifest
        elif self.dialect.name == "coded":
            gives = wire.CodedManifest
        else:
            return
        yield self.route("GET", "/manifest", self.get_manifest, None, gives, "Show what the token may")

    async def get_manifest(self, call: Call[None, None]) -> Answer:
        token = connector_of(call.principal).token
        if self.dialect.name == "coded":
            return rendering.coded_manifest(token)
        return rendering.documented_manifest(token)

    async def list_reasoners(self, call: Call[None, wire.PageQuery]) -> Answer:
        page = page_of(self._views(call.principal), call.query)
        rows = [
            rendering.reasoner_row(view, one, self._traffic.options(view.group))
            for view, one in self._standings(page.views)
        ]
        return wire.Reasoners(reasoners=rows, total=page.versions, next=page.next)

    async def get_reasoner(self, call: Call[None, None]) -> Answer:
        return self._detail(await self._view(call.path["id"]))

    async def change_reasoner(self, call: Call[wire.ChangeReasoner, None]) -> Answer:
        body, group = call.body, call.path["id"]
        await self._view(group)
        given = {name: getattr(body, name) for name in body.__struct_fields__}
        changes = OptionChanges(
            **{name: value for name, value in given.items() if value is not msgspec.UNSET}
        )
        await self._traffic.change_options(acting(call), group, changes)
        return self._detail(await self._view(group))

    async def list_groups(self, call: Call[None, wire.GroupsQuery]) -> Answer:
        team = call.query.team_id or rendering.TEAM
        views = [view for view in self._views(call.principal) if rendering.team_of(view) == team]
        page = page_of(views, call.query)
        rows = [rendering.group_row(view) for view in page.views]
        return wire.Groups(groups=rows, total=len(views), next=page.next)

    async def list_group_nodes(self, call: Call[None, None]) -> Answer:
        view = await self._view(call.path["id"])
        options = self._traffic.options(view.group)
        nodes = [rendering.reasoner_row(view, one, options) for one in self._traffic.versions(view.group)]
        return wire.Nodes(nodes=nodes, total=len(nodes))

    async def list_nodes_of_group(self, call: Call[None, None]) -> Answer:
        """As published, an unknown group is an empty one here."""
        if await self._fleet.get_fresh(call.path["id"]) is None:
            return wire.Nodes(nodes=[], total=0)
        return await self.list_group_nodes(call)

    async def list_nodes(self, call: Call[None, wire.PageQuery]) -> Answer:
        page = page_of(self._views(call.principal), call.query)
        rows = [
            rendering.node_row(view, one, self._traffic.options(view.group))
            for view, one in self._standings(page.views)
        ]
        return wire.AllNodes(agents=rows, total=page.versions, next=page.next)

    async def get_node_status(self, call: Call[None, None]) -> Answer:
        view = await self._view(call.path["id"])
        return rendering.node_status(view, self._traffic.versions(view.group))

    async def _view(self, group: str) -> AgentView:
        view = await self._fleet.get_fresh(group)
        if view is None or view.joined_through == MACHINES:
            raise UnknownAgent(group)
        return view

    def _views(self, principal: Principal) -> list[AgentView]:
        """List agents by name; those on machines have no traffic and are left out."""
        views = [
            view
            for view in self._fleet.find(AgentQuery())
            if view.joined_through != MACHINES and may_see(principal, view.group)
        ]
        return sorted(views, key=lambda view: view.group)

    def _standings(self, views: Iterable[AgentView]) -> Iterator[tuple[AgentView, VersionStanding]]:
        for view in views:
            for one in self._traffic.versions(view.group):
                yield view, one

    def _detail(self, view: AgentView) -> wire.ReasonerDetail:
        versions, options = self._traffic.versions(view.group), self._traffic.options(view.group)
        return rendering.reasoner_detail(view, versions, options)
