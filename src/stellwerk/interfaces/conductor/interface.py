"""Assembly of the interface."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.http.description import describe
from stellwerk.http.documentation import Document
from stellwerk.http.endpoint import Endpoint, Observer
from stellwerk.http.gate import Interface, everything
from stellwerk.http.operation import Operation
from stellwerk.http.router import Router
from stellwerk.interfaces.conductor.deploying import DeployRoutes
from stellwerk.interfaces.conductor.errors import Refusal, refuse, render_problem
from stellwerk.interfaces.conductor.events import EventRoutes
from stellwerk.interfaces.conductor.health import DatabaseCheck, HealthRoutes, Measuring, not_measuring
from stellwerk.interfaces.conductor.instances import InstanceRoutes
from stellwerk.interfaces.conductor.manifests import ManifestRoutes
from stellwerk.interfaces.conductor.operations import OperationRoutes
from stellwerk.interfaces.conductor.own import Route, own_operations, owned_with
from stellwerk.interfaces.conductor.parameters import ParameterRoutes
from stellwerk.interfaces.conductor.releases import ReleaseRoutes
from stellwerk.interfaces.conductor.services import ServiceRoutes
from stellwerk.interfaces.conductor.watching import WatchRoutes
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.release.deploying import Deployer
from stellwerk.release.manifests import Manifests
from stellwerk.release.watching.service import Watching
from stellwerk.settings import ConductorSettings

NAME = "conductor"
HEAD = Document(
    "Stellwerk conductor", __version__, "Services from templated manifests onto a Kubernetes cluster."
)
SLASHED = frozenset({"/manifests/", "/api/events/", "/api/parameters/"})
"""What the published program also answers with a slash at the end."""


@dataclass(frozen=True, slots=True)
class ConductorInterface:
    """The assembled interface."""

    interface: Interface
    """For the main listener."""
    compat: Interface
    """For a listener of its own."""
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
    deployer: Deployer,
    watching: Watching,
    journal: Journal,
    database: DatabaseCheck,
    loops: Sequence[Loop],
    clock: Clock,
    settings: ConductorSettings,
    namespace: str,
    observer: Observer | None = None,
    routes: Sequence[Route] = (),
    model: str | None = None,
    inquiring: Sequence[Loop] = (),
    measuring: Measuring = not_measuring,
) -> ConductorInterface:
    """Assemble the interface.

    `loops` are those of the subject; `namespace` is where custom resources are kept; `observer` is told of
    every answer; `routes` are the program's own; `model` is the language model of investigations, if there is
    one; `inquiring` are their loops, and `measuring` tells what is known of their Prometheus.
    Raises RouteTaken.
    """
    parameters = ParameterRoutes(deployer)
    operations = (
        *DeployRoutes(deployer, settings).operations(),
        *OperationRoutes(deployer).operations(),
        *ReleaseRoutes(deployer).operations(),
        *ServiceRoutes(deployer).operations(),
        *ManifestRoutes(Manifests(deployer)).operations(),
        *parameters.operations(),
        *InstanceRoutes(deployer, parameters, namespace).operations(),
        *WatchRoutes(deployer, watching).operations(),
        *EventRoutes(journal, deployer.source.name).operations(),
        *HealthRoutes(
            deployer.cluster,
            loops,
            database,
            clock,
            watching.away,
            model=model,
            inquiring=inquiring,
            measuring=measuring,
        ).operations(),
    )
    operations = (*operations, *own_operations(routes, operations))
    endpoints = [Endpoint(operation, render_problem, refuse, observer) for operation in operations]

    @functools.cache
    def document() -> dict[str, Any]:
        return describe(HEAD, operations, refusal=Refusal, not_found=Refusal)

    interface = Interface(
        NAME,
        Router(endpoints, render_problem),
        render_problem,
        owned_with(routes, owns),
        rewrite=without_slash,
        public=frozenset(one.path for one in operations if one.scope is None),
    )
    return ConductorInterface(interface, replace(interface, owns=everything), document, operations)


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    if path in ("/healthz", "/readyz"):
        return len(path)
    if path == "/manifests" or path.startswith("/manifests/"):
        return len("/manifests")
    # What is versioned belongs to others.
    return len("/api") if path.startswith("/api/") and not path.startswith("/api/v1/") else 0


def without_slash(path: str) -> str | None:
    """Return the plain path of one that is also answered with a slash at its end."""
    return path[:-1] if path in SLASHED else None
