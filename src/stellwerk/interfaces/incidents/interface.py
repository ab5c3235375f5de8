"""Assembly of the interface."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric

from stellwerk import __version__
from stellwerk.http.description import describe
from stellwerk.http.documentation import Document
from stellwerk.http.endpoint import Endpoint
from stellwerk.http.gate import Interface
from stellwerk.http.meter import InFlight, Meter
from stellwerk.http.operation import Operation
from stellwerk.http.router import Router
from stellwerk.inquiry.remedies.catalogue import Catalogue
from stellwerk.inquiry.remedies.service import Remedies
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.interfaces.incidents.catalogue import CatalogueRoutes
from stellwerk.interfaces.incidents.configuration import CONFIG, ConfigurationRoutes
from stellwerk.interfaces.incidents.errors import MEDIA_TYPE, HTTPError, refuse, render_problem
from stellwerk.interfaces.incidents.metrics import families
from stellwerk.interfaces.incidents.remedies import RemedyRoutes
from stellwerk.interfaces.incidents.sessions import PREFIX, SessionRoutes
from stellwerk.interfaces.incidents.streams import StreamRoutes
from stellwerk.interfaces.incidents.traffic import Traffic
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import InquirySettings, LlmSettings

NAME = "incidents"
HEAD = Document("Stellwerk incidents", __version__, "Root causes with evidence, and remedies.")


@dataclass(frozen=True, slots=True)
class IncidentsInterface:
    """The assembled interface."""

    interface: Interface
    document: Callable[[], dict[str, Any]]
    """Makes its OpenAPI description."""
    operations: tuple[Operation, ...]
    families: Callable[[], Iterable[Metric]]
    """Reads its metrics, which have published names."""
    loops: Sequence[Loop] = ()
    """What runs in the background: nothing."""

    def figures(self) -> Iterator[tuple[str, str, Callable[[], float], dict[str, str]]]:
        """List figures for the metrics: none beside the families."""
        yield from ()

    async def start(self) -> None:
        """Do nothing; there is nothing to start."""

    async def stop(self, limit_s: float) -> None:
        """Do nothing; there is nothing to stop."""


def build(
    *,
    investigations: Investigations,
    remedies: Remedies,
    catalogue: Catalogue,
    journal: Journal,
    settings: InquirySettings,
    llm: LlmSettings | None = None,
    meter: Meter | None = None,
    refusals: Mapping[tuple[str, int, str], int] | None = None,
) -> IncidentsInterface:
    """Assemble the interface. `meter` is told of every answer; `refusals` are those of all interfaces."""
    meter = meter or Meter()
    operations = (
        *SessionRoutes(investigations).operations(),
        *StreamRoutes(investigations, journal).operations(),
        *RemedyRoutes(remedies).operations(),
        *CatalogueRoutes(catalogue).operations(),
        *ConfigurationRoutes(settings, llm or LlmSettings()).operations(),
    )
    endpoints = [Endpoint(operation, render_problem, refuse, meter) for operation in operations]

    @functools.cache
    def document() -> dict[str, Any]:
        return describe(
            HEAD, operations, refusal=HTTPError, not_found=HTTPError, refusal_media_type=MEDIA_TYPE
        )

    flight = InFlight(Router(endpoints, render_problem))
    traffic = Traffic(NAME, operations, meter, {} if refusals is None else refusals, flight)
    interface = Interface(NAME, flight, render_problem, owns, public=frozenset({CONFIG}))
    return IncidentsInterface(interface, document, operations, lambda: families(investigations, traffic))


def owns(path: str) -> int:
    """Return the length of the prefix by which the interface owns a path, 0 if it does not."""
    if path in {CONFIG, PREFIX} or path.startswith(PREFIX + "/"):
        return min(len(path), len(PREFIX))
    return 0
