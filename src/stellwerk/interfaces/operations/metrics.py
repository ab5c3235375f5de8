"""Metrics in Prometheus's text format.

Nothing is counted twice: the figures are those that the subjects keep anyway, read when somebody asks.
Every label is bounded: states, priorities, routes as templates, never ids or paths.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from stellwerk import __version__
from stellwerk.fleet.model import FleetCounts
from stellwerk.fleet.service import Fleet
from stellwerk.http.meter import BUCKETS_S, Meter
from stellwerk.http.operation import Answer, Call, Operation, Raw
from stellwerk.trust.scopes import Scope
from stellwerk.work.service import Work
from stellwerk.work.task import WorkStats

TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure of another part, read when somebody asks: `stellwerk_<name>`."""

    name: str
    help: str
    read: Callable[[], float]
    labels: Mapping[str, str] = field(default_factory=dict)


Families = Callable[[], Iterable[Metric]]
"""Reads metrics that have published names of their own."""


class MetricRoutes:
    """See the module."""

    def __init__(
        self,
        fleet: Fleet,
        work: Work,
        meter: Meter,
        *,
        gauges: Sequence[Gauge],
        families: Sequence[Families] = (),
    ) -> None:
        self._fleet = fleet
        self._work = work
        self._meter = meter
        self._gauges = gauges
        self._families = families
        # Registries of their own: the default one is global, and its collectors would come with every import.
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        GCCollector(registry=self._process)

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/metrics",
                handle=self.metrics,
                scope=Scope.METRICS_READ,
                summary="Show metrics for Prometheus",
                tag="metrics",
                gives="text/plain",
            )
        ]

    async def metrics(self, call: Call[None, None]) -> Answer:
        stats = await self._work.stats()
        own = CollectorRegistry(auto_describe=False)
        own.register(
            _Collected(
                [
                    *build_info(),
                    *fleet_metrics(self._fleet.counts()),
                    *work_metrics(stats),
                    *http_metrics(self._meter),
                    *gauge_metrics(self._gauges),
                    *(family for read in self._families for family in read()),
                ]
            )
        )
        return Raw(generate_latest(own) + generate_latest(self._process), TEXT)


class _Collected(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def build_info() -> Iterator[Metric]:
    """Say which release runs."""
    info = InfoMetricFamily("stellwerk_build", "Release that runs.")
    info.add_metric([], {"version": __version__})
    yield info


def fleet_metrics(counts: FleetCounts) -> Iterator[Metric]:
    """Count agents."""
    agents = GaugeMetricFamily(
        "stellwerk_agents",
        "Registered agents by declared condition and presence.",
        labels=["condition", "presence"],
    )
    for (condition, presence), number in sorted(counts.standings.items()):
        agents.add_metric([condition.value, presence.value], number)
    yield agents
    yield GaugeMetricFamily("stellwerk_agent_instances", "Registered instances of agents.", counts.instances)
    yield GaugeMetricFamily("stellwerk_agent_capabilities", "Distinct capabilities.", counts.capabilities)


def work_metrics(stats: WorkStats) -> Iterator[Metric]:
    """Count tasks."""
    kept = GaugeMetricFamily("stellwerk_tasks", "Tasks that are kept, by state.", labels=["state"])
    for state, number in sorted(stats.states.items()):
        kept.add_metric([state], number)
    yield kept
    queued = GaugeMetricFamily("stellwerk_tasks_queued", "Waiting tasks by priority.", labels=["priority"])
    for priority, number in stats.queue_sizes.items():
        queued.add_metric([priority], number)
    yield queued
    yield GaugeMetricFamily("stellwerk_leases", "Leases that are held now.", stats.active)
    counters = (
        ("submitted", "Tasks that were submitted.", stats.submitted),
        ("distributed", "Leases that were given.", stats.distributed),
        ("completed", "Tasks that succeeded.", stats.completed),
        ("failed", "Tasks that failed or are dead.", stats.failed),
    )
    for name, words, number in counters:
        yield CounterMetricFamily(f"stellwerk_tasks_{name}", words, number)
    yield CounterMetricFamily(
        "stellwerk_task_wait_seconds",
        "Time between ready and leased, summed over first attempts.",
        stats.distribution_us / 1_000_000,
    )
    attempts = CounterMetricFamily(
        "stellwerk_attempts", "Attempts that ended, by outcome.", labels=["outcome"]
    )
    attempts.add_metric(["succeeded"], stats.assigned_ok)
    attempts.add_metric(["failed"], stats.assigned_failed)
    yield attempts


def http_metrics(meter: Meter) -> Iterator[Metric]:
    """Count answers by route and status, and their durations by route."""
    answers = CounterMetricFamily(
        "stellwerk_http_requests", "Answered requests.", labels=["method", "route", "status"]
    )
    durations = HistogramMetricFamily(
        "stellwerk_http_request_duration_seconds", "Time to the answer.", labels=["method", "route"]
    )
    bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
    for series in meter:
        route = [series.operation.method, series.operation.path]
        for status, number in sorted(series.statuses.items()):
            answers.add_metric([*route, str(status)], number)
        buckets = list(zip(bounds, accumulate(series.buckets), strict=True))
        durations.add_metric(route, buckets=buckets, sum_value=series.seconds)
    yield answers
    yield durations


def gauge_metrics(gauges: Sequence[Gauge]) -> Iterator[Metric]:
    """Read the figures of other parts."""
    families: dict[str, GaugeMetricFamily] = {}
    for gauge in gauges:
        family = families.get(gauge.name)
        if family is None:
            family = families[gauge.name] = GaugeMetricFamily(
                f"stellwerk_{gauge.name}", gauge.help, labels=list(gauge.labels)
            )
        family.add_metric(list(gauge.labels.values()), gauge.read())
    yield from families.values()
