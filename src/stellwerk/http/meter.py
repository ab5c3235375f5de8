"""Counts answers and their durations by operation and status: what the metrics show of HTTP."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from stellwerk.http.operation import Operation

Application = Callable[..., Awaitable[Any]]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
"""From a look-up in memory to a long poll."""


@dataclass(slots=True)
class Durations:
    """How long answers of one status took."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Answers by duration, not cumulated; the last is for longer ones."""
    seconds: float = 0.0


@dataclass(slots=True)
class Series:
    """What is known of one operation."""

    operation: Operation
    answers: dict[int, Durations] = field(default_factory=dict)
    """By status."""

    @property
    def statuses(self) -> dict[int, int]:
        """How many answers had which status."""
        return {status: sum(one.buckets) for status, one in self.answers.items()}

    @property
    def buckets(self) -> list[int]:
        """All answers by duration."""
        return [sum(numbers) for numbers in zip(*(one.buckets for one in self.answers.values()), strict=True)]

    @property
    def seconds(self) -> float:
        """How long all answers took together."""
        return sum(one.seconds for one in self.answers.values())


class Meter:
    """An observer of endpoints. Bounded by the number of operations, whatever is asked for."""

    def __init__(self) -> None:
        self._series: dict[int, Series] = {}

    def observe(self, operation: Operation, status: int, seconds: float) -> None:
        """Count one answer."""
        series = self._series.get(id(operation))
        if series is None:
            series = self._series[id(operation)] = Series(operation)
        durations = series.answers.get(status)
        if durations is None:
            durations = series.answers[status] = Durations()
        durations.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        durations.seconds += seconds

    def __iter__(self) -> Iterator[Series]:
        return iter(list(self._series.values()))


class InFlight:
    """An application that knows how many of its requests have no whole answer yet; streams are among them."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.number = 0

    async def __call__(self, *request: Any) -> Any:
        """Let the application answer one request."""
        self.number += 1
        try:
            return await self._application(*request)
        finally:
            self.number -= 1
