"""Assembly of the interface."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stellwerk import __version__
from stellwerk.clock import Clock
from stellwerk.fleet.service import Fleet
from stellwerk.http.description import describe
from stellwerk.http.documentation import PAGES, Document, documentation, merge
from stellwerk.http.endpoint import Endpoint
from stellwerk.http.gate import Interface
from stellwerk.http.meter import Meter
from stellwerk.http.operation import Operation
from stellwerk.http.router import Router
from stellwerk.interfaces.operations.errors import Refusal, refuse, render_problem
from stellwerk.interfaces.operations.events import EventRoutes
from stellwerk.interfaces.operations.keys import KeyRoutes
from stellwerk.interfaces.operations.logs import LogRoutes
from stellwerk.interfaces.operations.metrics import Families, Gauge, MetricRoutes
from stellwerk.interfaces.operations.readiness import Component, ReadyRoutes
from stellwerk.journal.service import Journal
from stellwerk.levels import Levels
from stellwerk.trust.service import Keys
from stellwerk.work.service import Work

NAME = "operations"
HEAD = Document("Stellwerk operations", __version__, "Metrics, events, keys, log levels, readiness.")
ALL = Document("Stellwerk", __version__, "One control plane for fleets of agents and the services they run.")
OWN = {word: len(word) + 1 for word in ("metrics", "events", "keys", "logs", "ready", "openapi.json", "docs")}
"""First segments of its paths, with the length of the prefix."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The assembled interface."""

    interface: Interface
    """For the main listener."""
    metrics: Interface
    """For a listener of its own that answers `/metrics` only."""
    document: Callable[[], dict[str, Any]]
    """Makes the OpenAPI description of all interfaces."""
    operations: tuple[Operation, ...]


def build(
    *,
    fleet: Fleet,
    work: Work,
    journal: Journal,
    keys: Keys,
    clock: Clock,
    levels: Levels,
    meter: Meter,
    components: Sequence[Component] = (),
    gauges: Sequence[Gauge] = (),
    families: Sequence[Families] = (),
    documents: Mapping[str, Callable[[], Mapping[str, Any]]] | None = None,
) -> Operations:
    """Assemble the interface.

    `meter` was given to the other interfaces as their observer; `components` are what readiness looks at
    beside the database, `gauges` further figures for the metrics, `families` whole
    metrics; `documents` are the OpenAPI descriptions
    of the other interfaces by name.
    """
    events = EventRoutes(journal)
    streams = Gauge("event_streams", "Open event streams.", lambda: events.streams)
    operations = (
        *MetricRoutes(fleet, work, meter, gauges=[*gauges, streams], families=families).operations(),
        *events.operations(),
        *KeyRoutes(keys, clock).operations(),
        *LogRoutes(levels, journal).operations(),
        *ReadyRoutes(components, clock).operations(),
    )
    endpoints = [Endpoint(operation, render_problem, refuse, meter) for operation in operations]

    @functools.cache
    def document() -> dict[str, Any]:
        own = describe(HEAD, operations, refusal=Refusal, not_found=Refusal)
        return merge(ALL, [*((name, make()) for name, make in (documents or {}).items()), (NAME, own)])

    # Readers of the documentation are not counted.
    pages = [Endpoint(page, render_problem, refuse) for page in documentation(ALL.title, document)]
    router = Router([*endpoints, *pages], render_problem)
    public = frozenset([*PAGES, *(one.path for one in operations if one.scope is None)])
    interface = Interface(NAME, router, render_problem, owns, public=public)
    return Operations(interface, replace(interface, owns=_owns_metrics), document, operations)


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    segments = path.split("/", 2)
    return OWN.get(segments[1], 0) if len(segments) > 1 else 0


def _owns_metrics(path: str) -> int:
    return path == "/metrics"
