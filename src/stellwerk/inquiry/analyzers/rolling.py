"""Rollouts that do not come to an end, and workloads that have less than they want."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import condition_said, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.conditions import condition, instant, part, status_of
from stellwerk.release.objects import Body

STARTING_S = 10.0
"""A pod may take so long without being anybody's trouble."""


def examine(facts: Facts) -> Iterator[Clue]:
    """Find workloads that are not what they should be."""
    for body in facts.workloads:
        kind, spec, status = body.get("kind"), part(body, "spec"), status_of(body)
        if kind in {"Deployment", "StatefulSet"} and spec.get("replicas") == 0:
            yield Clue(
                "ScaledToZero",
                ref_of(body),
                f"{ref_of(body)} is scaled to zero",
                (said(body, "replicas: 0"),),
                facts={"replicas": "0"},
                strength=0.9,
            )
        elif kind == "Deployment":
            yield from _of_deployment(body)
        elif kind in {"StatefulSet", "DaemonSet"}:
            wanted = (
                spec.get("replicas", 1)
                if kind == "StatefulSet"
                else status.get("desiredNumberScheduled") or 0
            )
            ready = int(status.get("readyReplicas" if kind == "StatefulSet" else "numberReady") or 0)
            if ready < int(wanted) and not _new(facts, body):
                yield _missing(body, ready, int(wanted))
        elif kind == "Pod":
            yield from _of_pod(facts, body)


def _of_deployment(body: Body) -> Iterator[Clue]:
    spec, status = part(body, "spec"), status_of(body)
    wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
    progress = condition(body, "Progressing")
    updated, available = int(status.get("updatedReplicas") or 0), int(status.get("availableReplicas") or 0)
    if spec.get("paused") and updated < wanted:
        yield Clue(
            "RolloutPaused",
            ref_of(body),
            f"the rollout of {ref_of(body)} is paused: {updated} of {wanted} pods are new",
            (said(body, f"paused: true, updatedReplicas {updated} of {wanted}"),),
        )
    elif progress.fails:
        yield Clue(
            "RolloutStuck",
            ref_of(body),
            f"the rollout of {ref_of(body)} has stopped: {progress.message}",
            (condition_said(body, "Progressing", progress),),
            "effect",
            strength=0.4,
        )
    elif available < wanted or updated < wanted:
        yield _missing(body, min(available, updated), wanted)


def _of_pod(facts: Facts, body: Body) -> Iterator[Clue]:
    phase = status_of(body).get("phase")
    if phase != "Succeeded" and not condition(body, "Ready").holds and not _new(facts, body):
        yield Clue(
            "PodNotReady",
            ref_of(body),
            f"{ref_of(body)} is not ready",
            (said(body, f"phase {phase}"),),
            "effect",
            strength=0.3,
        )


def _missing(body: Body, ready: int, wanted: int) -> Clue:
    return Clue(
        "ReplicasUnavailable",
        ref_of(body),
        f"{ready} of {wanted} pods of {ref_of(body)} are ready",
        (said(body, f"ready {ready} of {wanted}"),),
        "effect",
        strength=0.3,
    )


def _new(facts: Facts, body: Body) -> bool:
    made = instant(part(body, "metadata").get("creationTimestamp"))
    return made is not None and (facts.now - made).total_seconds() < STARTING_S
