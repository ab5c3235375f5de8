"""The connected agents: who may connect, their seats, and what happens to connections from outside."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from stellwerk.clock import Clock
from stellwerk.fleet.errors import UnknownAgent
from stellwerk.fleet.service import Fleet
from stellwerk.http.auth import check_scope
from stellwerk.http.duplex import Receive, Send
from stellwerk.http.problem import Problem
from stellwerk.interfaces.coordinator.agent_socket import (
    NOT_YOURS,
    REMOVED,
    REPLACED,
    AgentSocket,
    Ends,
)
from stellwerk.interfaces.coordinator.holders import MOST_TASKS, check_owner, instance_of, seat_of
from stellwerk.interfaces.coordinator.wire.text import Id
from stellwerk.loop import Loop
from stellwerk.settings import FleetSettings, WorkSettings
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.service import Work
from stellwerk.work.task import Holder

CHECK_S = 5.0
"""How often peers that do not read and keys that were revoked are looked for."""


class ConnectQuery(msgspec.Struct, kw_only=True):
    """How an agent connects."""

    instance_id: Id | None = None
    max_concurrency: Annotated[int, Meta(ge=1, le=MOST_TASKS)] | None = None


class AgentSockets:
    """Accepts the agents' connections. `still_valid` tells whether a principal's key has not been revoked."""

    def __init__(
        self,
        fleet: Fleet,
        work: Work,
        clock: Clock,
        *,
        fleet_settings: FleetSettings,
        work_settings: WorkSettings,
        still_valid: Callable[[Principal], bool],
    ) -> None:
        self._ends = Ends(fleet, work, clock)
        self._interval_s = fleet_settings.heartbeat_interval_s
        self._capacity = work_settings.default_capacity
        self._still_valid = still_valid
        self._open: dict[AgentSocket, Principal] = {}
        self.loop = Loop("coordinator.sockets", self._check)
        self._stopping = False

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """Begin to look after connections; may be called more than once."""
        self._stopping = False
        self.loop.start()

    async def stop(self, limit_s: float) -> None:
        """Give up every seat, let steps under way end, and close with 1012; may be called more than once."""
        self._stopping = True
        await self.loop.stop()
        await asyncio.gather(*(socket.drain(limit_s) for socket in list(self._open)))

    async def connect(self, scope: Mapping[str, Any], receive: Receive, send: Send, agent_id: str) -> None:
        """Serve one connection. Raises Problem and the subjects' refusals before it is accepted."""
        principal: Principal = scope["state"]["principal"]
        check_scope(Scope.TASKS_WORK, principal)
        if self._stopping:
            raise Problem.unavailable("The server stops", 1.0)
        query = read_query(scope["query_string"])
        fleet, work = self._ends.fleet, self._ends.work
        view = await fleet.get_with(agent_id, instance=query.instance_id)
        if view is None:
            raise UnknownAgent(agent_id)
        check_owner(view, principal)
        holder = Holder(agent_id, instance_of(view, query.instance_id).instance)
        taken = await fleet.heartbeat(principal, *holder)
        await receive()
        await send({"type": "websocket.accept"})
        socket = AgentSocket(self._ends, principal, holder, send)
        instance = instance_of(taken.view, holder.instance)
        seat = seat_of(
            taken.view,
            instance,
            socket,
            default_capacity=self._capacity,
            capacity=query.max_concurrency,
        )
        replaced = work.seats.get(holder)
        if replaced is not None and isinstance(replaced.channel, AgentSocket):
            replaced.channel.end(REPLACED, "Another connection of this instance took over")
        self._open[socket] = principal
        try:
            await socket.serve(receive, await work.connect(seat), self._interval_s)
        finally:
            del self._open[socket]
            work.disconnect(seat)

    def changed(self, group: str) -> None:
        """End the connections of an agent that was removed."""
        if self._ends.fleet.get(group) is None:
            for socket in [one for one in self._open if one.holder.group == group]:
                socket.end(REMOVED, "The agent was removed")

    async def _check(self) -> None:
        while await self.loop.rest(CHECK_S):
            for socket, principal in list(self._open.items()):
                socket.check()
                if not self._still_valid(principal):
                    socket.end(NOT_YOURS, "The API key was revoked")


def read_query(text: bytes) -> ConnectQuery:
    """Read how an agent connects. Raises Problem."""
    try:
        return msgspec.convert(dict(parse_qsl(text.decode("latin-1"))), ConnectQuery, strict=False)
    except ValueError as error:
        raise Problem.invalid(f"Query: {error}") from None
