"""The rules that must hold after any fault. Pure: evidence in, faults as sentences out.

To the rules of the kills these are added: no lease is held twice at once, no row is an orphan, whoever
follows the journal is told every event once and in order, and nobody waits longer than the scenario allows.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from e2e.chaos.evidence import ChaosEvidence
from e2e.chaos.journal import Told
from e2e.kills import checker

RELEASING = frozenset(
    {"task.requeued", "task.succeeded", "task.failed", "task.cancelled", "task.dead"},
)


def check(evidence: ChaosEvidence) -> list[str]:
    """Return every fault found; an empty list is the proof."""
    return [
        *checker.check(evidence.shared),
        *no_lease_is_held_twice(evidence),
        *runs_belong_to_their_lease(evidence),
        *every_event_is_told_once_and_in_order(evidence),
        *nothing_is_an_orphan(evidence),
        *nobody_waits_too_long(evidence),
    ]


def no_lease_is_held_twice(evidence: ChaosEvidence) -> Iterator[str]:
    """Between two leases of a task somebody gave it back or ended it; no fence is given out twice."""
    holders: dict[str, Told] = {}
    fences: dict[str, set[int | None]] = defaultdict(set)
    for event in evidence.journal:
        if event.kind == "task.leased":
            if held := holders.get(event.task_id):
                yield f"{event.task_id}: leased to {event.group} while {held.group} held it"
            if event.fence in fences[event.task_id]:
                yield f"{event.task_id}: fence {event.fence} was given out twice"
            fences[event.task_id].add(event.fence)
            holders[event.task_id] = event
        elif event.kind in RELEASING:
            holders.pop(event.task_id, None)
    for task_id, held in holders.items():
        yield f"{task_id}: still held by {held.group} in the end"


def runs_belong_to_their_lease(evidence: ChaosEvidence) -> Iterator[str]:
    """By the workers' own books: a lease is one run at most, at the worker that the journal names.

    One that was never acknowledged costs no attempt, so that two leases may have the same number of it.
    """
    leases = Counter(
        (event.task_id, event.attempt, event.group)
        for event in evidence.journal
        if event.kind == "task.leased"
    )
    begun = Counter(
        (entry.task_id, entry.attempt, entry.worker)
        for entry in evidence.shared.executions
        if entry.what == "begin"
    )
    for (task_id, attempt, worker), runs in begun.items():
        if runs > (given := leases[task_id, attempt, worker]):
            yield f"{task_id}: attempt {attempt} was begun {runs} times at {worker} under {given} leases"


def every_event_is_told_once_and_in_order(evidence: ChaosEvidence) -> Iterator[str]:
    times = Counter(event.cursor for event in evidence.followed)
    places = {event.cursor: place for place, event in enumerate(evidence.journal)}
    for cursor, often in times.items():
        if often > 1:
            yield f"event {cursor} was told {often} times"
    for event in evidence.journal:
        if event.cursor not in times:
            yield f"event {event.cursor} ({event.kind} of {event.task_id}) was never told: a gap"
    for event in evidence.followed:
        if event.cursor not in places:
            yield f"event {event.cursor} was told, and is not in the journal ({event.task_id})"
    for before, after in pairwise(event for event in evidence.followed if event.cursor in places):
        if places[before.cursor] > places[after.cursor]:
            yield f"event {after.cursor} was told after {before.cursor}, which follows it"


def nothing_is_an_orphan(evidence: ChaosEvidence) -> Iterator[str]:
    for wrong, rows in evidence.orphans.items():
        for row in rows:
            yield f"{row}: {wrong}"


def nobody_waits_too_long(evidence: ChaosEvidence) -> Iterator[str]:
    if not evidence.waits_s:
        yield "nobody submitted anything"
        return
    half, slowest = median(evidence.waits_s), max(evidence.waits_s)
    if half > evidence.half_within_s:
        yield f"half of the callers waited for {half:.2f} s or more; the bound is {evidence.half_within_s} s"
    if slowest > evidence.all_within_s:
        yield f"a caller waited for {slowest:.1f} s; the bound is {evidence.all_within_s} s"
