"""Metrics of the interface's requests, under the published names. Gate and endpoints count them anyway."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from stellwerk.http.meter import BUCKETS_S, InFlight, Meter
from stellwerk.http.operation import Operation

NOT_SHOWN = "not_shown"
"""Why somebody was told that a session is not there which is somebody else's."""
_DENIED = (401, 403)
_LIMITED = 429


@dataclass(frozen=True, slots=True)
class Traffic:
    """Where the figures come from; `refusals` are by interface, status and code."""

    name: str
    operations: Sequence[Operation]
    meter: Meter
    refusals: Mapping[tuple[str, int, str], int]
    flight: InFlight

    def families(self, not_shown: int) -> Iterator[Metric]:
        """Read the figures; `not_shown`: how often a session was not shown to who asked for it."""
        yield self._durations()
        yield GaugeMetricFamily(
            "aiagent_http_requests_in_flight", "Requests without a whole answer yet.", self.flight.number
        )
        limited = sum(number for (_, status, _), number in self._refused() if status == _LIMITED)
        yield CounterMetricFamily(
            "aiagent_http_rate_limited", "Requests that were answered with 429.", limited
        )
        yield self._denied(not_shown)

    def _durations(self) -> Metric:
        labels = ["endpoint", "method", "status"]
        family = HistogramMetricFamily(
            "aiagent_http_request_duration_seconds", "Time to the answer.", labels=labels
        )
        ours, bounds = {id(one) for one in self.operations}, [*(str(bound) for bound in BUCKETS_S), "+Inf"]
        for series in self.meter:
            operation = series.operation
            if id(operation) not in ours:
                continue
            for status, durations in sorted(series.answers.items()):
                buckets = list(zip(bounds, accumulate(durations.buckets), strict=True))
                family.add_metric(
                    [operation.path, operation.method, str(status)], buckets, sum_value=durations.seconds
                )
        return family

    def _denied(self, not_shown: int) -> Metric:
        reasons = {NOT_SHOWN: not_shown}
        for (_, status, code), number in self._refused():
            if status in _DENIED:
                reasons[code] = reasons.get(code, 0) + number
        family = CounterMetricFamily("aiagent_authz_denied", "Requests without the right.", labels=["reason"])
        for reason, number in sorted(reasons.items()):
            family.add_metric([reason], number)
        return family

    def _refused(self) -> list[tuple[tuple[str, int, str], int]]:
        return [(key, number) for key, number in self.refusals.items() if key[0] == self.name]
