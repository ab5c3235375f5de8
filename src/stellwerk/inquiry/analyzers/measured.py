"""What only metrics tell: too little CPU for probes, and requests that fail while all looks well."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.crashing import crashed
from stellwerk.inquiry.analyzers.quoting import event_said, measured
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.measures import cpu_limit, mean_now
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.conditions import condition, part
from stellwerk.release.objects import Body

THROTTLED = 0.25
"""Share of periods with throttling from which on a container is slow for it: below, bursts are cut."""
FAILING = 0.05
"""Share of requests from which on errors are trouble and no noise."""
_SLOW = re.compile(
    r"probe (?:failed|errored).*(?:deadline exceeded|client\.timeout|timed? ?out|timeout)", re.IGNORECASE
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find containers that are held back, and pods that answer with errors."""
    if not facts.bundle.metrics:
        return
    for pod in facts.of("Pod"):
        for status, first in statuses(pod):
            if not first:
                yield from _throttled(facts, pod, status)
        yield from _failing(facts, pod)


def _throttled(facts: Facts, pod: Body, status: Body) -> Iterator[Clue]:
    name = str(status.get("name"))
    share = mean_now(facts, pod, "cpu_throttled", name)
    if share is None or share < THROTTLED:
        return
    limit = cpu_limit(pod, name) or "its limit"
    seen = measured(pod, f"{name} was held back at {limit} of CPU in {share:.0%} of the periods of 5 min")
    slow = [one for one in facts.events(pod) if _is_slow(one, name)]
    trouble = not condition(pod, "Ready").holds or crashed(facts, pod, status)
    about = {"container": name, "limit": cpu_limit(pod, name)}
    if slow and trouble:
        summary = f"container {name} gets too little CPU ({limit}) to answer its probes in time"
        quoted = (seen, event_said(slow[-1], pod))
        yield Clue("CpuThrottled", ref_of(pod), summary, quoted, facts=about, strength=0.8)
    else:
        summary = f"container {name} is held back at its CPU limit of {limit}"
        yield Clue("CpuThrottled", ref_of(pod), summary, (seen,), "note", facts=about)


def _failing(facts: Facts, pod: Body) -> Iterator[Clue]:
    share = mean_now(facts, pod, "failed_share")
    if share is None or share < FAILING:
        return
    seen = measured(pod, f"{share:.0%} of the requests of 5 min were answered with an error (5xx)")
    summary = f"{share:.0%} of the requests to {ref_of(pod).name} fail"
    # That requests fail says nothing of why: alone it is told, and nobody is accused.
    yield Clue("RequestsFail", ref_of(pod), summary, (seen,), "effect", strength=0.45)


def _is_slow(event: Body, container: str) -> bool:
    here = f"{{{container}}}"
    about = part(event, "involvedObject").get("fieldPath", here)
    return here in about and bool(_SLOW.search(str(event.get("message", ""))))
