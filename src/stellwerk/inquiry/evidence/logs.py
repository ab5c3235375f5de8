"""Which logs are worth a call: those of what is not well first, then those around the target."""

from collections.abc import Iterator
from typing import NamedTuple

from stellwerk.inquiry.evidence.neighbourhood import Distances
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.conditions import condition, entries, part
from stellwerk.release.objects import Body

MOST_PODS = 2
"""Of one workload: replicas of one template say the same."""
FARTHEST_WELL = 4
"""Steps from the target up to which the logs of pods that are well are read."""


class LogPlace(NamedTuple):
    """One log to read."""

    rank: tuple[int, int]
    namespace: str
    pod: str
    container: str
    previous: bool


def places(facts: Facts, distances: Distances) -> list[LogPlace]:
    """List the logs to read, the most telling first."""
    found = [place for workload in facts.workloads for place in _of_workload(facts, workload, distances)]
    return sorted(found)


def _of_workload(facts: Facts, workload: Body, distances: Distances) -> Iterator[LogPlace]:
    distance = distances.get(ref_of(workload))
    if distance is None:
        return
    pods = [pod for pod in facts.pods(workload) if ref_of(pod) in distances]
    pods = pods or [pod for pod in facts.pods(workload, every=True) if ref_of(pod) in distances]
    pods.sort(key=lambda pod: condition(pod, "Ready").holds)
    for pod in pods[:MOST_PODS]:
        yield from _of_pod(facts, pod, distance)


def _of_pod(facts: Facts, pod: Body, distance: int) -> Iterator[LogPlace]:
    ready = condition(pod, "Ready").holds
    if ready and distance > FARTHEST_WELL:
        return
    ref = ref_of(pod)
    if not any(statuses(pod)) and any(one.get("reason") == "Started" for one in facts.events(pod)):
        # The node has begun it and not told its status yet.
        for one in entries(part(pod, "spec"), "containers"):
            yield LogPlace((0, distance), ref.namespace, ref.name, str(one.get("name")), previous=False)
    for one, first in statuses(pod):
        state = part(one, "state")
        done = first and part(state, "terminated").get("exitCode") == 0
        if done or not (state.get("running") or state.get("terminated") or one.get("restartCount")):
            continue
        rank = (1 if ready else 0, distance)
        name = str(one.get("name"))
        if state.get("running") or state.get("terminated") or not part(one, "lastState", "terminated"):
            yield LogPlace(rank, ref.namespace, ref.name, name, previous=False)
        if one.get("restartCount") and part(one, "lastState", "terminated"):
            yield LogPlace(rank, ref.namespace, ref.name, name, previous=True)
