"""Configuration that changed after its workload: crashes that began with it were brought by it."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.quoting import micros, said
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.references import references_of
from stellwerk.inquiry.model import Change
from stellwerk.release.conditions import condition, part
from stellwerk.release.objects import Body

LATER_US = 3_000_000
"""What was made together is written within this time; what is written later was changed."""


def examine(facts: Facts) -> Iterator[Clue]:
    """Find workloads that went wrong after their configuration had changed."""
    for workload in facts.workloads:
        began = _began(facts, workload)
        if began is None:
            continue
        for ref in dict.fromkeys(references_of(workload)):
            if ref.kind in {"ConfigMap", "Secret"} and facts.get(ref) is not None:
                for change in facts.changes(ref):
                    if change.at > began + LATER_US and (pod := _unwell_since(facts, workload, change.at)):
                        yield _clue(workload, pod, change)


def _clue(workload: Body, pod: Body, change: Change) -> Clue:
    seen = (
        Seen("change", change.object, f"{change.by} {change.what}", change.at),
        said(pod, "not ready since"),
    )
    return Clue(
        "ConfigurationChanged",
        ref_of(pod),
        f"{change.object} was changed after {ref_of(workload)} had begun, and its pods went wrong afterwards",
        seen,
        "effect",
        blames=(change.object,),
        facts={"name": change.object.name, "kind": change.object.kind},
        strength=0.7,
    )


def _began(facts: Facts, workload: Body) -> int | None:
    newest = facts.newest(workload) if workload.get("kind") == "Deployment" else workload
    return micros(part(newest or workload, "metadata").get("creationTimestamp"))


def _unwell_since(facts: Facts, workload: Body, at: int) -> Body | None:
    """Return a pod that is not well, and was when or after a change came."""
    for pod in facts.pods(workload):
        if condition(pod, "Ready").holds:
            continue
        ends = [
            micros(
                (part(one, "state", "terminated") or part(one, "lastState", "terminated")).get("finishedAt")
            )
            for one, _ in statuses(pod)
        ]
        since = condition(pod, "Ready").since
        moments = [one for one in ends if one is not None] + (
            [int(since.timestamp() * 1_000_000)] if since else []
        )
        if moments and max(moments) >= at - 1_000_000:
            return pod
    return None
