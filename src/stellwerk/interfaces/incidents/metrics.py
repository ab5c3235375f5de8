"""Metrics under the published names. Those of a model are there and zero where there is none."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from stellwerk.inquiry.reasoning.figures import BUCKETS_S as MODEL_BUCKETS_S
from stellwerk.inquiry.reasoning.figures import ModelFigures
from stellwerk.inquiry.sessions.events import ACCESS_DENIED
from stellwerk.inquiry.sessions.figures import BUCKETS_S, Figures
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.interfaces.incidents.traffic import Traffic

STATUSES: tuple[Literal["success", "error"], ...] = ("success", "error")
KINDS: tuple[Literal["prompt", "completion"], ...] = ("prompt", "completion")


def families(investigations: Investigations, traffic: Traffic) -> Iterator[Metric]:
    """Read the figures."""
    figures = investigations.figures
    begun = CounterMetricFamily(
        "aiagent_sessions_started", "Investigations that were opened.", labels=["signal_name", "severity"]
    )
    for labels, number in sorted(figures.begun.items()):
        begun.add_metric(list(labels), number)
    finished = CounterMetricFamily(
        "aiagent_sessions_completed", "Investigations that ended.", labels=["outcome"]
    )
    durations = HistogramMetricFamily(
        "aiagent_session_duration_seconds", "From the request to the end.", labels=["outcome"]
    )
    bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
    for outcome, number in sorted(figures.finished.items()):
        finished.add_metric([outcome], number)
        buckets = list(zip(bounds, accumulate(figures.durations[outcome]), strict=True))
        durations.add_metric([outcome], buckets=buckets, sum_value=figures.seconds[outcome])
    active = GaugeMetricFamily("aiagent_sessions_active", "Investigations under way in this process.")
    active.add_metric([], investigations.under_way)
    yield from (begun, finished, active, durations, _audited(figures))
    yield from _of_the_model(investigations.model_figures)
    yield from traffic.families(figures.emitted[ACCESS_DENIED])


def _audited(figures: Figures) -> Metric:
    emitted = CounterMetricFamily(
        "aiagent_audit_events_emitted", "Audit events that the journal has.", labels=["event_type"]
    )
    for kind, number in sorted(figures.emitted.items()):
        emitted.add_metric([kind], number)
    return emitted


def _of_the_model(figures: ModelFigures) -> Iterator[Metric]:
    requests = CounterMetricFamily("aiagent_api_llm_requests", "Calls of the model.", labels=["status"])
    tokens = CounterMetricFamily("aiagent_api_llm_tokens", "Tokens of the model.", labels=["type"])
    for status in STATUSES:
        requests.add_metric([status], figures.requests[status])
    for kind in KINDS:
        tokens.add_metric([kind], figures.tokens[kind])
    bounds = [*(str(bound) for bound in MODEL_BUCKETS_S), "+Inf"]
    seconds = HistogramMetricFamily(
        "aiagent_api_llm_request_duration_seconds",
        "Time of the model's answers.",
        buckets=list(zip(bounds, accumulate(figures.durations), strict=True)),
        sum_value=figures.seconds,
    )
    again = CounterMetricFamily(
        "aiagent_llm_call_retries", "Calls of the model that were made again.", labels=["phase", "outcome"]
    )
    for (phase, outcome), number in sorted(figures.retries.items()):
        again.add_metric([phase, outcome], number)
    yield from (requests, tokens, seconds, again)
