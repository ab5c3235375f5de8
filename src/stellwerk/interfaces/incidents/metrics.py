"""Metrics under the published names. Those of a model are there and zero: there is none."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from stellwerk.inquiry.sessions.figures import BUCKETS_S
from stellwerk.inquiry.sessions.service import Investigations


def families(investigations: Investigations) -> Iterator[Metric]:
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
    yield from (begun, finished, active, durations, *_of_a_model())


def _of_a_model() -> Iterator[Metric]:
    requests = CounterMetricFamily("aiagent_api_llm_requests", "Calls of the model.", labels=["status"])
    tokens = CounterMetricFamily("aiagent_api_llm_tokens", "Tokens of the model.", labels=["type"])
    for label in ("success", "error"):
        requests.add_metric([label], 0)
    for label in ("prompt", "completion"):
        tokens.add_metric([label], 0)
    seconds = HistogramMetricFamily(
        "aiagent_api_llm_request_duration_seconds",
        "Time of the model's answers.",
        buckets=[("+Inf", 0)],
        sum_value=0,
    )
    yield from (requests, tokens, seconds)
