"""Routes of operators about agents: list, show, change, drain, remove."""

from typing import Any

import msgspec

from stellwerk.fleet.deployment.record import DeploymentAgent
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw
from stellwerk.http.problem import Problem
from stellwerk.interfaces.deployment import rendering
from stellwerk.interfaces.deployment.callers import check_reader
from stellwerk.interfaces.deployment.heartbeat import HeartbeatRoute
from stellwerk.interfaces.deployment.holding import Holding, holder_of
from stellwerk.interfaces.deployment.joining import JoiningRoutes, targets
from stellwerk.interfaces.deployment.task_streams import TaskStreams
from stellwerk.interfaces.deployment.wire import agents as wire
from stellwerk.trust.certificates.service import Identities
from stellwerk.trust.scopes import Scope
from stellwerk.work.service import Work

encode = msgspec.json.Encoder().encode
PATH = "/api/v1/agents/{id}"
RENAMED = {"capabilities": "allowed_capabilities"}


class AgentRoutes:
    """See the module."""

    def __init__(
        self,
        deployments: Deployments,
        identities: Identities,
        work: Work,
        *,
        holding: Holding,
        streams: TaskStreams,
        joining: JoiningRoutes,
        heartbeat: HeartbeatRoute,
    ) -> None:
        self._deployments = deployments
        self._identities = identities
        self._work = work
        self._holding = holding
        self._streams = streams
        self._joining = joining
        self._heartbeat = heartbeat

    def operations(self) -> list[Operation]:
        """List the routes."""
        tag: dict[str, Any] = {"tag": "machines"}
        return [
            Operation(
                method="GET",
                path="/api/v1/agents",
                handle=self.list,
                scope=Scope.FLEET_READ,
                summary="List agents by name; X-Total-Count says how many there are",
                query=wire.ListQuery,
                gives=list[wire.AgentRow],
                **tag,
            ),
            Operation(
                method="GET",
                path=PATH,
                handle=self.get,
                scope=Scope.FLEET_READ,
                check=check_reader,
                summary="Show an agent with its targets, tasks and certificates; also for the agent itself",
                gives=wire.Agent,
                **tag,
            ),
            Operation(
                method="PUT",
                path=PATH,
                handle=self.update,
                scope=Scope.FLEET_ADMIN,
                summary="Change an agent; If-Match refuses if somebody else did meanwhile",
                takes=wire.UpdateAgent,
                gives=wire.Agent,
                headers={"If-Match": {"type": "string"}},
                refuses=(412,),
                **tag,
            ),
            Operation(
                method="DELETE",
                path=PATH,
                handle=self.remove,
                scope=Scope.FLEET_ADMIN,
                summary="Remove an agent for good and revoke its certificates at once",
                gives=wire.AgentDeleted,
                **tag,
            ),
            Operation(
                method="POST",
                path=f"{PATH}/drain",
                handle=self.drain,
                scope=Scope.FLEET_ADMIN,
                summary="Give an agent nothing new; it finishes what it has",
                gives=wire.Agent,
                **tag,
            ),
            Operation(
                method="POST",
                path=f"{PATH}/resume",
                handle=self.resume,
                scope=Scope.FLEET_ADMIN,
                summary="Give an agent tasks again",
                gives=wire.Agent,
                **tag,
            ),
        ]

    async def list(self, call: Call[None, wire.ListQuery]) -> Answer:
        query = call.query
        rows = [rendering.agent_row(one, self._deployments) for one in await self._deployments.list()]
        rows = [row for row in rows if query.status in (None, row.status)]
        rows = [row for row in rows if query.capability is None or query.capability in row.capabilities]
        start = (query.page - 1) * query.page_size
        page = rows[start : start + query.page_size]
        return Raw(encode(page), JSON, headers=((b"x-total-count", b"%d" % len(rows)),))

    async def get(self, call: Call[None, None]) -> Answer:
        return await self._show(await self._deployments.find(call.path["id"]))

    async def update(self, call: Call[wire.UpdateAgent, None]) -> Answer:
        agent = await self._deployments.find(call.path["id"])
        given = {
            RENAMED.get(name, name): value
            for name in wire.UpdateAgent.__struct_fields__
            if (value := getattr(call.body, name)) is not msgspec.UNSET
        }
        for name in ("allowed_capabilities",):
            if name in given:
                given[name] = tuple(dict.fromkeys(given[name]))
        if "targets" in given:
            given["targets"] = targets(given["targets"])
        seen = _version(call.header(b"if-match"))
        after = await self._deployments.update(call.principal, agent.agent_id, given, seen)
        if after.log_level != agent.log_level:
            self._streams.configure(after, self._joining.config(after))
        return await self._show(after)

    async def remove(self, call: Call[None, None]) -> Answer:
        agent = await self._deployments.find(call.path["id"])
        gone = await self._deployments.remove(call.principal, agent.agent_id)
        await self._work.parting.part_from(holder_of(gone))
        self._heartbeat.forget(gone.agent_id)
        return wire.AgentDeleted()

    async def drain(self, call: Call[None, None]) -> Answer:
        return await self._set_draining(call, draining=True)

    async def resume(self, call: Call[None, None]) -> Answer:
        return await self._set_draining(call, draining=False)

    async def _set_draining(self, call: Call[None, None], *, draining: bool) -> Answer:
        agent = await self._deployments.find(call.path["id"])
        return await self._show(
            await self._deployments.update(call.principal, agent.agent_id, {"draining": draining})
        )

    async def _show(self, agent: DeploymentAgent) -> Answer:
        shown = rendering.agent_in_full(
            agent,
            self._deployments,
            held=await self._holding.held(holder_of(agent)),
            certificates=await self._identities.certificates(agent.agent_id),
            connected=self._streams.has(agent.agent_id),
        )
        return Raw(encode(shown), JSON, headers=((b"etag", b'"%d"' % agent.updated_at),))


def _version(header: str | None) -> int | None:
    """Read the version that `If-Match` names. Raises Problem."""
    if header is None or header == "*":
        return None
    text = header.strip('"')
    if not text.isdigit():
        raise Problem(412, "agent.changed", "If-Match names no version of this agent")
    return int(text)
