"""The observers' WebSocket: what happens to agents and tasks, and how the balancing does, as it happens.

Theory of operation. Each observer has a subscription to the journal, which bounds what may wait for it: one
that reads too slowly is dropped by the journal, told so and closed with 4408. Balancer figures are looked
at every `BALANCER_S` and sent when they have changed. Three tasks share the connection, and the first to
end ends it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from stellwerk.clock import Clock
from stellwerk.fleet.service import Fleet
from stellwerk.http.auth import check_scope
from stellwerk.http.duplex import until_gone
from stellwerk.http.instants import iso
from stellwerk.http.problem import Problem
from stellwerk.interfaces.coordinator.figures import Figures
from stellwerk.interfaces.coordinator.words import project_status
from stellwerk.journal.event import Dropped, EventFilter, Recorded
from stellwerk.journal.service import Journal
from stellwerk.journal.tail import Subscription
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

TOPICS = {"agents": Scope.FLEET_READ, "tasks": Scope.TASKS_READ, "balancer": Scope.TASKS_READ}
"""What can be watched, and the scope that it needs."""
KINDS = {"agents": "agent.*", "tasks": "task.*"}
BALANCER_S = 2.0
TOO_SLOW, RESTART = 4408, 1012
SEND_S = 10.0
"""How long one message may take."""

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

encode = msgspec.json.Encoder().encode


class AgentStatusChanged(msgspec.Struct, tag_field="type", tag="agent_status"):
    """Something happened to an agent; `status` is null for one that was removed."""

    event: str
    agent_id: str
    status: str | None
    health_score: float | None
    data: msgspec.Raw
    timestamp: str


class TaskHappened(msgspec.Struct, tag_field="type", tag="task_event"):
    """Something happened to a task."""

    event: str
    task_id: str | None
    agent_id: str | None
    data: msgspec.Raw
    timestamp: str


class ObserverSockets:
    """Serves the observers."""

    def __init__(self, journal: Journal, fleet: Fleet, figures: Figures, clock: Clock) -> None:
        self._journal = journal
        self._fleet = fleet
        self._figures = figures
        self._clock = clock
        self._open: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def stop(self) -> None:
        """Close every connection with 1012; may be called more than once."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=SEND_S)

    async def connect(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection. Raises Problem before it is accepted."""
        topics = read_topics(scope["query_string"], scope["state"]["principal"])
        events = self._subscribe(topics)
        if events is not None:
            # Before the accept, so that an observer misses nothing from then on.
            await events.start()
        await receive()
        await send({"type": "websocket.accept"})
        serving = asyncio.create_task(self._serve(topics, events, receive, send))
        self._open.add(serving)
        try:
            await serving
        except asyncio.CancelledError:
            if not serving.cancelled():
                serving.cancel()
                raise
            await self._close(send, RESTART, "The server stops")
        finally:
            self._open.discard(serving)

    def _subscribe(self, topics: frozenset[str]) -> Subscription | None:
        kinds = tuple(kind for topic, kind in KINDS.items() if topic in topics)
        return self._journal.subscribe(EventFilter(kinds=kinds)) if kinds else None

    async def _serve(
        self, topics: frozenset[str], events: Subscription | None, receive: Receive, send: Send
    ) -> None:
        tasks = [asyncio.create_task(until_gone(receive))]
        if events is not None:
            tasks.append(asyncio.create_task(self._events(events, send)))
        if "balancer" in topics:
            tasks.append(asyncio.create_task(self._balancer(send)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if events is not None:
                events.close()

    async def _events(self, events: Subscription, send: Send) -> None:
        async for event in events:
            if isinstance(event, Dropped):
                await self._close(send, TOO_SLOW, "Events are not read")
                return
            await _send_text(send, self.render(event))

    async def _balancer(self, send: Send) -> None:
        last = b""
        while True:
            figures = encode(await self._figures.balancer())
            if figures != last:
                last = figures
                now = iso(self._clock.now_us()).encode()
                await _send_text(
                    send, b'{"type":"balancer_metrics","stats":%b,"timestamp":"%b"}' % (figures, now)
                )
            await asyncio.sleep(BALANCER_S)

    def render(self, event: Recorded) -> bytes:
        """Write an event as the observers see it."""
        data = msgspec.Raw(event.data.encode())
        if event.kind.startswith("task."):
            return encode(TaskHappened(event.kind, event.task, event.group, data, iso(event.at)))
        view = self._fleet.get(event.group or "")
        status = None if view is None else project_status(view.condition, view.presence).value
        score = None if view is None else view.health_score
        return encode(AgentStatusChanged(event.kind, event.group or "", status, score, data, iso(event.at)))

    async def _close(self, send: Send, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(1.0):
                await send({"type": "websocket.close", "code": code, "reason": reason})
        except Exception:  # noqa: S110 - the peer has gone or does not read; there is nobody to tell
            pass


def read_topics(query: bytes, principal: Principal) -> frozenset[str]:
    """Read which topics are wanted (all by default). Raises Problem for unknown ones and missing scopes."""
    given = parse_qs(query.decode("latin-1")).get("topics", [])
    topics = frozenset(name for part in given for name in part.split(",") if name) or frozenset(TOPICS)
    unknown = topics - TOPICS.keys()
    if unknown:
        raise Problem.invalid(f"{min(unknown)[:100]!r} is not a topic; there are {', '.join(TOPICS)}")
    for topic in sorted(topics):
        check_scope(TOPICS[topic], principal)
    return topics


async def _send_text(send: Send, frame: bytes) -> None:
    async with asyncio.timeout(SEND_S):
        await send({"type": "websocket.send", "text": frame.decode()})
