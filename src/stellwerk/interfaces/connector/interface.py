"""Assembly of the interface: one table of routes for each dialect, behind one ASGI application."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.fleet.service import Fleet
from stellwerk.http.description import describe
from stellwerk.http.documentation import Document
from stellwerk.http.endpoint import Endpoint, Observer
from stellwerk.http.gate import Interface
from stellwerk.http.operation import Operation
from stellwerk.http.router import Router
from stellwerk.interfaces.connector.agents import AgentRoutes
from stellwerk.interfaces.connector.callers import Callers
from stellwerk.interfaces.connector.dialects import DIALECTS, Dialect, dialect_of
from stellwerk.interfaces.connector.errors import Refusal, refuse, render_problem
from stellwerk.interfaces.connector.restarts import RestartRoutes
from stellwerk.interfaces.connector.tokens import TokenRoutes
from stellwerk.interfaces.connector.versions import VersionRoutes
from stellwerk.loop import Loop
from stellwerk.settings import ConnectorSettings, LimitSettings
from stellwerk.traffic.restarting import Restarting
from stellwerk.traffic.service import Traffic
from stellwerk.trust.connectors.service import Connectors

NAME = "connector"
HEAD = Document(
    "Stellwerk connector", __version__, "Pipelines and platforms steer agent versions and their traffic."
)


@dataclass(frozen=True, slots=True)
class ConnectorInterface:
    """The assembled interface."""

    interface: Interface
    document: Callable[[], dict[str, Any]]
    """Makes its OpenAPI description."""
    operations: tuple[Operation, ...]
    loops: Sequence[Loop] = ()
    """What runs in the background: nothing."""

    def figures(self) -> Iterator[tuple[str, str, Callable[[], float], dict[str, str]]]:
        """List figures for the metrics: none beside those that all operations have."""
        yield from ()

    async def start(self) -> None:
        """Do nothing; there is nothing to start."""

    async def stop(self, limit_s: float) -> None:
        """Do nothing; there is nothing to stop."""


def build(
    *,
    fleet: Fleet,
    traffic: Traffic,
    restarting: Restarting,
    connectors: Connectors,
    clock: Clock,
    settings: ConnectorSettings,
    limits: LimitSettings,
    observer: Observer | None = None,
) -> ConnectorInterface:
    """Assemble the interface. `observer` is told of every answer."""

    def routes(dialect: Dialect) -> Iterator[Operation]:
        yield from AgentRoutes(dialect, fleet, traffic).operations()
        yield from VersionRoutes(dialect, fleet, traffic).operations()
        yield from RestartRoutes(dialect, restarting, settings).operations()

    tables = (operation for dialect in DIALECTS for operation in routes(dialect))
    operations = (*tables, *TokenRoutes(connectors, clock).operations())
    endpoints = [Endpoint(operation, render_problem, refuse, observer) for operation in operations]

    @functools.cache
    def document() -> dict[str, Any]:
        return describe(HEAD, operations, refusal=Refusal, not_found=Refusal)

    interface = Interface(
        NAME,
        Router(endpoints, render_problem),
        render_problem,
        owns,
        recognise=Callers(connectors, limits, clock).recognise,
    )
    return ConnectorInterface(interface, document, operations)


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    dialect = dialect_of(path)
    return 0 if dialect is None else len(dialect.prefix)
