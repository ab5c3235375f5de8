"""Assembly of the interface: routes and sockets over the services, behind one ASGI application."""

import asyncio
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.service import Fleet
from stellwerk.http.description import describe
from stellwerk.http.documentation import PAGES, Document, documentation
from stellwerk.http.endpoint import Endpoint, Observer
from stellwerk.http.gate import Interface, everything
from stellwerk.http.operation import Operation
from stellwerk.http.outbound import Outbound
from stellwerk.http.problem import Problem
from stellwerk.http.router import Router
from stellwerk.interfaces.coordinator import aliases
from stellwerk.interfaces.coordinator.agent_sockets import AgentSockets
from stellwerk.interfaces.coordinator.agents import AgentRoutes
from stellwerk.interfaces.coordinator.errors import NotFound, Refusal, problem_renderer, refuse
from stellwerk.interfaces.coordinator.figures import Figures
from stellwerk.interfaces.coordinator.observer_socket import ObserverSockets
from stellwerk.interfaces.coordinator.push import Courier
from stellwerk.interfaces.coordinator.rendering import Agents
from stellwerk.interfaces.coordinator.service import ServiceRoutes
from stellwerk.interfaces.coordinator.tasks import TaskRoutes
from stellwerk.interfaces.coordinator.wire.tasks import Requirements
from stellwerk.interfaces.coordinator.working import WorkRoutes
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import FleetSettings, OutboundSettings, WorkSettings
from stellwerk.trust.principal import Principal
from stellwerk.work.service import Work

NAME = "coordinator"
HEAD = Document(
    "Stellwerk coordinator",
    __version__,
    "Agents register, report, take tasks and return results; clients submit tasks and read them.",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Coordinator:
    """The assembled interface."""

    interface: Interface
    """For the main listener: owns its paths and their aliases."""
    compat: Interface
    """For a listener of its own: owns everything, its description included."""
    document: Callable[[], dict[str, Any]]
    """Makes its OpenAPI description; a tenth of a second, so only when somebody asks."""
    operations: tuple[Operation, ...]
    agents: AgentSockets
    observers: ObserverSockets
    courier: Courier

    def figures(self) -> Iterator[tuple[str, str, Callable[[], float], dict[str, str]]]:
        """List figures for the metrics: name, what it is, how to read it, labels."""
        name, words = "websocket_connections", "Open WebSockets."
        yield name, words, lambda: float(len(self.agents)), {"of": "agents"}
        yield name, words, lambda: float(len(self.observers)), {"of": "observers"}
        yield (
            "pushed_agents",
            "Agents that tasks are pushed to from here.",
            lambda: float(len(self.courier)),
            {},
        )

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return (self.agents.loop, self.courier.loop)

    async def start(self) -> None:
        """Begin to look after connections; may be called more than once."""
        self.agents.start()
        await self.courier.start()

    async def stop(self, limit_s: float) -> None:
        """Close connections and end deliveries; may be called more than once."""
        await asyncio.gather(self.agents.stop(limit_s), self.observers.stop(), self.courier.stop(limit_s))


def build(
    *,
    fleet: Fleet,
    work: Work,
    journal: Journal,
    database: Database,
    outbound: Outbound,
    clock: Clock,
    fleet_settings: FleetSettings,
    work_settings: WorkSettings,
    outbound_settings: OutboundSettings,
    observer: Observer | None = None,
    still_valid: Callable[[Principal], bool] = lambda _: True,
) -> Coordinator:
    """Assemble the interface. `observer` is told of every answer; `still_valid` tells of revoked keys."""
    rendered = Agents()
    figures = Figures(fleet, work)
    operations = (
        *AgentRoutes(fleet, work, rendered, clock).operations(),
        *TaskRoutes(work, figures, clock).operations(),
        *WorkRoutes(fleet, work, clock).operations(),
        *ServiceRoutes(work.balancing, figures, clock).operations(),
    )
    sockets = AgentSockets(
        fleet,
        work,
        clock,
        fleet_settings=fleet_settings,
        work_settings=work_settings,
        still_valid=still_valid,
    )
    observers = ObserverSockets(journal, fleet, figures, clock)
    courier = Courier(
        database=database,
        fleet=fleet,
        work=work,
        outbound=outbound,
        clock=clock,
        outbound_settings=outbound_settings,
        work_settings=work_settings,
    )
    render = problem_renderer(clock)
    endpoints = [Endpoint(operation, render, refuse, observer) for operation in operations]

    @functools.cache
    def document() -> dict[str, Any]:
        return describe(HEAD, operations, refusal=Refusal, not_found=NotFound, mentioned=[Requirements])

    # Readers of the documentation are not counted.
    pages = [Endpoint(page, render, refuse) for page in documentation(HEAD.title, document)]
    router = Router([*endpoints, *pages], render, Sockets(sockets, observers))
    public = frozenset(one.path for one in operations if one.scope is None)
    interface = Interface(NAME, router, render, aliases.owns, aliases.rewrite, public)

    def changed(group: str) -> None:
        if fleet.get(group) is None:
            rendered.forget(group)
        sockets.changed(group)
        courier.changed(group)

    fleet.on_change(changed)
    compat = replace(interface, owns=everything, public=public | PAGES)
    return Coordinator(interface, compat, document, operations, sockets, observers, courier)


class Sockets:
    """The WebSockets of the interface, as an ASGI application."""

    def __init__(self, agents: AgentSockets, observers: ObserverSockets) -> None:
        self._agents = agents
        self._observers = observers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._connect(scope, receive, send)
        except Exception as error:
            # Before it was accepted: the gate answers over HTTP, in the interface's shape.
            scope["state"]["problem"] = _problem(error, scope["state"]["request_id"])
            await send({"type": "websocket.close", "code": 4000, "reason": ""})

    async def _connect(self, scope: Any, receive: Any, send: Any) -> None:
        parts = scope["path"].split("/")
        if len(parts) == 4 and parts[1] == "agents" and parts[2] and parts[3] == "ws":
            await self._agents.connect(scope, receive, send, parts[2])
        elif scope["path"] == "/ws":
            await self._observers.connect(scope, receive, send)
        else:
            raise Problem.not_found()


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, DatabaseUnavailable):
        return Problem.unavailable(error.detail, error.retry_after_s)
    known = refuse(error)
    if known is None:
        log.error("websocket_failed", request_id=request_id, exc_info=error)
        return Problem.internal(request_id)
    return known
