"""Assembly of the interface: routes and streams over the subjects, behind one ASGI application."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.http.description import describe
from stellwerk.http.documentation import Document
from stellwerk.http.endpoint import Endpoint, Observer
from stellwerk.http.gate import Interface
from stellwerk.http.operation import Operation
from stellwerk.http.problem import Problem
from stellwerk.http.router import Router
from stellwerk.interfaces.deployment.administration import AdministrationRoutes
from stellwerk.interfaces.deployment.agents import AgentRoutes
from stellwerk.interfaces.deployment.callers import AGENTS, Callers
from stellwerk.interfaces.deployment.credentials import Credentials
from stellwerk.interfaces.deployment.delivering import Delivery
from stellwerk.interfaces.deployment.door import Door
from stellwerk.interfaces.deployment.errors import Refusal, refuse, render_problem
from stellwerk.interfaces.deployment.heartbeat import HeartbeatRoute
from stellwerk.interfaces.deployment.holding import Holding
from stellwerk.interfaces.deployment.joining import JoiningRoutes
from stellwerk.interfaces.deployment.reports import Reports
from stellwerk.interfaces.deployment.task_streams import TaskStreams
from stellwerk.interfaces.deployment.tasks import TaskRoutes
from stellwerk.interfaces.deployment.vouching import Vouching
from stellwerk.interfaces.deployment.working import WorkingRoutes
from stellwerk.loop import Loop
from stellwerk.settings import LimitSettings, WorkSettings
from stellwerk.trust.certificates.service import Identities
from stellwerk.trust.vault.service import Secrets
from stellwerk.work.service import Work

NAME = "deployment"
HEAD = Document(
    "Stellwerk deployment agents",
    __version__,
    "Agents on machines join with a token, prove themselves by certificate, and carry out tasks.",
)
OWN = ("/api/v1/agents", "/api/v1/tasks", "/api/v1/admin")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The assembled interface."""

    interface: Interface
    document: Callable[[], dict[str, Any]]
    """Makes its OpenAPI description."""
    operations: tuple[Operation, ...]
    streams: TaskStreams
    vouching: Vouching

    def figures(self) -> Iterator[tuple[str, str, Callable[[], float], dict[str, str]]]:
        """List figures for the metrics: name, what it is, how to read it, labels."""
        words = "Open WebSockets."
        yield "websocket_connections", words, lambda: float(len(self.streams)), {"of": "deployment_agents"}

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return (self.streams.loop, self.vouching.loop)

    async def start(self) -> None:
        """Begin to look after streams and the silent; may be called more than once."""
        self.streams.start()
        await self.vouching.start()

    async def stop(self, limit_s: float) -> None:
        """Close the streams; may be called more than once."""
        await self.vouching.stop()
        await self.streams.stop(limit_s)


def build(
    *,
    deployments: Deployments,
    identities: Identities,
    secrets: Secrets,
    work: Work,
    database: Database,
    clock: Clock,
    limits: LimitSettings,
    work_settings: WorkSettings,
    observer: Observer | None = None,
) -> Deployment:
    """Assemble the interface. `observer` is told of every answer."""
    credentials = Credentials(secrets)
    delivery = Delivery(work, credentials, clock)
    reports = Reports(work, credentials)
    holding = Holding(work, deployments, alone=database.engine == "sqlite")
    streams = TaskStreams(
        deployments, identities, work, holding=holding, delivery=delivery, reports=reports, clock=clock
    )
    joining = JoiningRoutes(deployments, identities, work)
    heartbeat = HeartbeatRoute(
        deployments,
        identities,
        work,
        holding=holding,
        delivery=delivery,
        joining=joining,
        streams=streams,
        clock=clock,
    )
    agents = AgentRoutes(
        deployments,
        identities,
        work,
        holding=holding,
        streams=streams,
        joining=joining,
        heartbeat=heartbeat,
    )
    operations = (
        *joining.operations(),
        *heartbeat.operations(),
        *WorkingRoutes(deployments, work, holding, delivery, reports).operations(),
        *agents.operations(),
        *TaskRoutes(deployments, work).operations(),
        *AdministrationRoutes(identities, secrets).operations(),
    )
    endpoints = [Endpoint(operation, render_problem, refuse, observer) for operation in operations]

    @functools.cache
    def document() -> dict[str, Any]:
        return describe(HEAD, operations, refusal=Refusal, not_found=Refusal)

    interface = Interface(
        NAME,
        Door(Router(endpoints, render_problem, Streams(streams)), limits.failed_logins_per_min, clock),
        render_problem,
        owns,
        public=frozenset(one.path for one in operations if one.scope is None and one.check is None),
        recognise=Callers(identities).recognise,
    )
    vouching = Vouching(deployments, work, work_settings.lease_s)
    return Deployment(interface, document, operations, streams, vouching)


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    for prefix in OWN:
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            return len(prefix)
    return 0


class Streams:
    """The WebSockets of the interface, as an ASGI application."""

    def __init__(self, streams: TaskStreams) -> None:
        self._streams = streams

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            agent_id, _, what = scope["path"].removeprefix(AGENTS).partition("/")
            if what != "task-stream":
                raise Problem.not_found()
            await self._streams.connect(scope, receive, send, agent_id)
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
