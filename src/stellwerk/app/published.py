"""The interfaces over the subjects: a function for each, and one table.

The operations interface is made last, because it shows the others: their figures, loops and descriptions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from prometheus_client.core import Metric

from stellwerk.app.errors import CannotStart
from stellwerk.app.readiness import database_component, loop_component, loop_gauge, measuring
from stellwerk.app.subjects import Subjects
from stellwerk.http.gate import Interface
from stellwerk.http.meter import Meter
from stellwerk.http.tls import Tls
from stellwerk.interfaces import conductor, connector, coordinator, deployment, incidents, nodes, operations
from stellwerk.interfaces.conductor.own import Route, RouteTaken
from stellwerk.interfaces.operations import Gauge
from stellwerk.logs import LEVELS
from stellwerk.loop import Loop

CONDUCTOR = "conductor"


class Part(Protocol):
    """What is started after the listeners and stopped before them, and shows how it is."""

    @property
    def interface(self) -> Interface:
        """For the main listener."""

    @property
    def document(self) -> Callable[[], dict[str, Any]]:
        """Makes its OpenAPI description."""

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""

    def figures(self) -> Iterator[tuple[str, str, Callable[[], float], dict[str, str]]]:
        """List figures for the metrics: name, what it is, how to read it, labels."""

    async def start(self) -> None: ...

    async def stop(self, limit_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Published:
    """One interface. `compat` are the listeners of its own, by name."""

    name: str
    part: Part
    compat: Mapping[str, Interface] = field(default_factory=dict)
    families: Callable[[], Iterable[Metric]] = tuple
    """Reads metrics that have published names of their own."""


@dataclass(frozen=True, slots=True)
class Publication:
    """All interfaces, as the listeners need them."""

    parts: Sequence[Part]
    upkeep: Interface
    """Answers what no interface owns."""
    by_listener: Mapping[str, Sequence[Interface]]


def publish(subjects: Subjects, tls: Tls | None) -> Publication:
    """Make every interface."""
    meter = Meter()
    published = [make(subjects, meter) for make in INTERFACES]
    _check_own(subjects.extensions.routes, published)
    loops = [*subjects.loops(), *(loop for one in published for loop in one.part.loops)]
    if tls is not None:
        loops.append(tls.loop)
    upkeep = _operations(subjects, meter, published, loops)
    everything = (*(one.part.interface for one in published), upkeep.interface)
    compat = {name: (own,) for one in published for name, own in one.compat.items()}
    return Publication(
        parts=[one.part for one in published],
        upkeep=upkeep.interface,
        by_listener={"main": everything, "tls": everything, **compat, "metrics": (upkeep.metrics,)},
    )


def _coordinator(subjects: Subjects, meter: Meter) -> Published:
    settings = subjects.settings
    part = coordinator.build(
        fleet=subjects.fleet,
        work=subjects.work,
        journal=subjects.journal,
        database=subjects.database,
        outbound=subjects.outbound,
        clock=subjects.clock,
        fleet_settings=settings.fleet,
        work_settings=settings.work,
        outbound_settings=settings.outbound,
        observer=meter,
        still_valid=subjects.keys.still_valid,
    )
    return Published("coordinator", part, {"coordinator": part.compat})


def _deployment(subjects: Subjects, meter: Meter) -> Published:
    part = deployment.build(
        deployments=subjects.deployments,
        identities=subjects.identities,
        secrets=subjects.secrets,
        work=subjects.work,
        database=subjects.database,
        clock=subjects.clock,
        limits=subjects.settings.limits,
        work_settings=subjects.settings.work,
        observer=meter,
    )
    return Published("deployment", part)


def _nodes(subjects: Subjects, meter: Meter) -> Published:
    part = nodes.build(
        fleet=subjects.fleet,
        traffic=subjects.traffic,
        webhooks=subjects.webhooks,
        dialler=subjects.dialler,
        memory=subjects.memory,
        journal=subjects.journal,
        database=subjects.database,
        clock=subjects.clock,
        settings=subjects.settings.traffic,
        observer=meter,
    )
    return Published("nodes", part)


def _connector(subjects: Subjects, meter: Meter) -> Published:
    part = connector.build(
        fleet=subjects.fleet,
        traffic=subjects.traffic,
        restarting=subjects.restarting,
        connectors=subjects.connectors,
        clock=subjects.clock,
        settings=subjects.settings.connector,
        limits=subjects.settings.limits,
        observer=meter,
    )
    return Published("connector", part)


def _conductor(subjects: Subjects, meter: Meter) -> Published:
    releasing, llm = subjects.releasing, subjects.settings.llm
    try:
        part = conductor.build(
            deployer=releasing.deployer,
            watching=releasing.watching,
            journal=subjects.journal,
            database=database_component(subjects.database).check,
            loops=(*releasing.loops, *subjects.journal.loops),
            clock=subjects.clock,
            settings=subjects.settings.conductor,
            namespace=subjects.settings.parameters.namespace,
            observer=meter,
            routes=subjects.extensions.routes,
            model=None if llm.provider is None else f"{llm.provider}/{llm.model}",
            inquiring=tuple(subjects.inquiry.loops),
            measuring=measuring(subjects.inquiry.prometheus),
        )
    except RouteTaken as error:
        raise CannotStart(str(error)) from error
    return Published(CONDUCTOR, part, {"conductor": part.compat})


def _incidents(subjects: Subjects, meter: Meter) -> Published:
    part = incidents.build(
        investigations=subjects.inquiry.investigations,
        remedies=subjects.inquiry.remedies,
        catalogue=subjects.inquiry.catalogue,
        journal=subjects.journal,
        settings=subjects.settings.inquiry,
        llm=subjects.settings.llm,
        meter=meter,
        refusals=subjects.audit.counts,
    )
    return Published("incidents", part, families=part.families)


INTERFACES: tuple[Callable[[Subjects, Meter], Published], ...] = (
    _coordinator,
    _deployment,
    _nodes,
    _connector,
    _conductor,
    _incidents,
)


def _check_own(routes: Sequence[Route], published: Sequence[Published]) -> None:
    """Let the program's own routes take no path of another interface. Raises CannotStart."""
    for route in routes:
        for one in published:
            if one.name != CONDUCTOR and one.part.interface.owns(route.path):
                raise CannotStart(f"the route {route.path} is answered by the {one.name} interface already")


def _operations(
    subjects: Subjects, meter: Meter, published: Sequence[Published], loops: Iterable[Loop]
) -> operations.Operations:
    figures = [Gauge(*figure) for one in published for figure in one.part.figures()]
    return operations.build(
        fleet=subjects.fleet,
        work=subjects.work,
        journal=subjects.journal,
        keys=subjects.keys,
        clock=subjects.clock,
        levels=LEVELS,
        meter=meter,
        components=[database_component(subjects.database), *map(loop_component, loops)],
        gauges=[*figures, *map(loop_gauge, loops)],
        families=[one.families for one in published],
        documents={one.name: one.part.document for one in published},
    )
