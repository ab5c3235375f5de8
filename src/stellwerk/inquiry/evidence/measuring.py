"""Reading the metrics of the pods around a target. What cannot be measured is a gap, and ends nothing."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from stellwerk.clock import MICROSECONDS
from stellwerk.inquiry.evidence.collection import Collection
from stellwerk.inquiry.facts.naming import named
from stellwerk.inquiry.metrics.prometheus import Matrix, MetricsUnavailable, Window
from stellwerk.inquiry.metrics.questions import questions
from stellwerk.inquiry.model import Gap, Measure, ObjectRef, Series

MOST_PODS = 24
"""The nearest to the target; their names stand in the question's address."""
POINTS = 60
SHORTEST_S, LONGEST_S = 1_800, 6 * 3_600
"""Of the window: half an hour shows how memory climbs, six hours are what a scrape every minute fills."""
BEFORE_S = 600
"""How much of the time before the trouble is looked at, where the signal says when it began."""
LIMIT_S = 5.0
"""For all questions together; they are asked while logs are read."""
WHERE = ObjectRef("Metrics", "", "")
"""Stands in gaps for no object of the cluster: what is not measured makes no proof weaker."""


class Metrics(Protocol):
    """What answers questions about the past."""

    async def ask(self, query: str, window: Window, limit_s: float) -> Sequence[Matrix]:
        """Ask for a query's values over a window. Raises MetricsUnavailable."""
        ...


async def read_metrics(collection: Collection, metrics: Metrics) -> None:
    """Add what is measured of the pods around the target."""
    around = collection.around()
    here = {named("Pod", ref.namespace, ref.name) for ref in around if ref.kind == "Pod"}
    pods = sorted(here, key=lambda ref: (around[ref], ref))[:MOST_PODS]
    asked = questions(pods)
    window = window_of(collection.at, collection.target.since)
    answers = await asyncio.gather(
        *(metrics.ask(query, window, LIMIT_S) for query in asked.values()), return_exceptions=True
    )
    for measure, answer in zip(asked, answers, strict=True):
        if isinstance(answer, MetricsUnavailable):
            _lack(collection, f"unavailable: {answer}")
        elif isinstance(answer, BaseException):
            raise answer
        else:
            collection.metrics += _series(measure, answer, set(pods))
    if asked and not collection.metrics and not any(isinstance(one, Exception) for one in answers):
        _lack(collection, "it has none of these pods")


def _lack(collection: Collection, why: str) -> None:
    gap = Gap(what="metrics of Prometheus", why=why, object=WHERE)
    if gap not in collection.meter.gaps:
        collection.meter.gaps.append(gap)


def window_of(at_us: int, since_us: int | None) -> Window:
    """Choose the window: up to now, and from a while before the trouble."""
    end_s = at_us // MICROSECONDS
    began_s = end_s - SHORTEST_S if since_us is None else since_us // MICROSECONDS - BEFORE_S
    start_s = max(end_s - LONGEST_S, min(began_s, end_s - SHORTEST_S))
    return Window(start_s, end_s, max(1, (end_s - start_s) // POINTS))


def _series(measure: Measure, answer: Sequence[Matrix], pods: set[ObjectRef]) -> Iterator[Series]:
    for one in answer:
        pod = named("Pod", one.metric.get("namespace", ""), one.metric.get("pod", ""))
        points = tuple(_points(one))
        if pod in pods and points:
            container = one.metric.get("container", "")
            yield Series(measure=measure, pod=pod, container=container, points=points)


def _points(one: Matrix) -> Iterator[tuple[int, float]]:
    for at_s, text in one.values[: 2 * POINTS]:
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):  # nothing divided by nothing is NaN: there were no requests
            yield int(at_s * MICROSECONDS), value
