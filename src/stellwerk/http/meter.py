"""Counts answers and their durations by operation and status: what the metrics show of HTTP."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from stellwerk.http.operation import Operation

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
"""From a look-up in memory to a long poll."""


@dataclass(slots=True)
class Series:
    """What is known of one operation."""

    operation: Operation
    statuses: dict[int, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Answers by duration, not cumulated; the last is for longer ones."""
    seconds: float = 0.0


class Meter:
    """An observer of endpoints. Bounded by the number of operations, whatever is asked for."""

    def __init__(self) -> None:
        self._series: dict[int, Series] = {}

    def observe(self, operation: Operation, status: int, seconds: float) -> None:
        """Count one answer."""
        series = self._series.get(id(operation))
        if series is None:
            series = self._series[id(operation)] = Series(operation)
        series.statuses[status] = series.statuses.get(status, 0) + 1
        series.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        series.seconds += seconds

    def __iter__(self) -> Iterator[Series]:
        return iter(list(self._series.values()))
