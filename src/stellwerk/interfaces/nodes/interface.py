"""Assembly of the interface: routes and WebSockets over the subjects, behind one ASGI application."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.service import Fleet
from stellwerk.http.description import describe
from stellwerk.http.documentation import Document
from stellwerk.http.endpoint import Endpoint, Observer
from stellwerk.http.gate import Interface
from stellwerk.http.operation import Operation
from stellwerk.http.problem import Problem
from stellwerk.http.router import Router
from stellwerk.interfaces.nodes.dialler import OutboundDialler
from stellwerk.interfaces.nodes.errors import Refusal, refuse, render_problem
from stellwerk.interfaces.nodes.executing import ExecuteRoutes
from stellwerk.interfaces.nodes.executions import ExecutionRoutes
from stellwerk.interfaces.nodes.listening import MemoryListeners
from stellwerk.interfaces.nodes.nodes import NodeRoutes
from stellwerk.interfaces.nodes.notes import NoteRoutes
from stellwerk.interfaces.nodes.remembering import MemoryRoutes
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import TrafficSettings
from stellwerk.traffic.memory import Memory
from stellwerk.traffic.service import Traffic
from stellwerk.traffic.webhooks import Webhooks

NAME = "nodes"
HEAD = Document(
    "Stellwerk nodes",
    __version__,
    "Agents written with the published SDK join, are called by weight, and remember.",
)
ROOT = "/api/v1/"
OWN = frozenset({"nodes", "execute", "executions", "execution", "memory", "workflow", "did", "discovery"})
"""First segments below the root; some have no operations here and are answered with a clean 404."""
AGENTS = f"{ROOT}agents/"
ENVELOPE_BYTES = 1_048_576
"""What a body may have beyond its value: a report that is a little too large still reaches its execution and
ends it."""
LISTEN = f"{ROOT}memory/events/ws"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Nodes:
    """The assembled interface."""

    interface: Interface
    document: Callable[[], dict[str, Any]]
    """Makes its OpenAPI description."""
    operations: tuple[Operation, ...]
    listeners: MemoryListeners

    @property
    def loops(self) -> Sequence[Loop]:
        """Nothing runs in the background."""
        return ()

    def figures(self) -> Iterator[tuple[str, str, Callable[[], float], dict[str, str]]]:
        """List figures for the metrics: name, what it is, how to read it, labels."""
        words = "Open WebSockets."
        yield "websocket_connections", words, lambda: float(len(self.listeners)), {"of": "memory_listeners"}

    async def start(self) -> None:
        """Do nothing: connections are served as they come."""

    async def stop(self, limit_s: float) -> None:
        """Close the WebSockets; may be called more than once."""
        await self.listeners.stop()


def build(
    *,
    fleet: Fleet,
    traffic: Traffic,
    webhooks: Webhooks,
    dialler: OutboundDialler,
    memory: Memory,
    journal: Journal,
    database: Database,
    clock: Clock,
    settings: TrafficSettings,
    observer: Observer | None = None,
) -> Nodes:
    """Assemble the interface. `observer` is told of every answer."""
    listeners = MemoryListeners(journal, memory)
    operations = (
        *NodeRoutes(fleet, traffic, dialler, settings, clock).operations(),
        *ExecuteRoutes(traffic, webhooks, settings.answer_bytes).operations(),
        *ExecutionRoutes(traffic).operations(),
        *MemoryRoutes(memory).operations(),
        *NoteRoutes(fleet, journal, database, clock).operations(),
    )
    endpoints = [Endpoint(operation, render_problem, refuse, observer) for operation in operations]

    @functools.cache
    def document() -> dict[str, Any]:
        return describe(HEAD, operations, refusal=Refusal, not_found=Refusal)

    def body_bytes(path: str) -> int | None:
        return settings.answer_bytes + ENVELOPE_BYTES if carries_values(path) else None

    interface = Interface(
        NAME,
        Router(endpoints, render_problem, Sockets(listeners)),
        render_problem,
        owns,
        body_bytes=body_bytes,
    )
    return Nodes(interface, document, operations, listeners)


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    if not path.startswith(ROOT):
        return 0
    word, _, rest = path[len(ROOT) :].partition("/")
    if word in OWN:
        return len(ROOT) + len(word)
    # What the SDK asks of executions below an agent is its own, not the deployment agents'.
    if word == "agents" and rest.partition("/")[2].partition("/")[0] == "executions":
        return len(path)
    return 0


def carries_values(path: str) -> bool:
    """Tell whether a body on this path is the input or the result of an execution."""
    return path.startswith(f"{ROOT}execute/") or (
        path.startswith(f"{ROOT}executions/") and path.endswith("/status")
    )


class Sockets:
    """The WebSockets of the interface, as an ASGI application."""

    def __init__(self, listeners: MemoryListeners) -> None:
        self._listeners = listeners

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            if scope["path"] != LISTEN:
                raise Problem.not_found()
            await self._listeners.connect(scope, receive, send)
        except Exception as error:
            # Before it was accepted: the gate answers over HTTP, in the interface's shape.
            scope["state"]["problem"] = _problem(error, scope["state"]["request_id"])
            await send({"type": "websocket.close", "code": 4000, "reason": ""})


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, DatabaseUnavailable):
        return Problem.unavailable(error.detail, error.retry_after_s)
    known = refuse(error)
    if known is None:
        log.error("websocket_failed", request_id=request_id, exc_info=error)
        return Problem.internal(request_id)
    return known
