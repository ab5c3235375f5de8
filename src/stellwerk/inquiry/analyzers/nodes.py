"""Nodes that are lost or under pressure, and the pods that had to leave them."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import condition_said, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.release.conditions import condition, part, status_of
from stellwerk.release.objects import Body

PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_OWN_FAULT = ("exceeds the limit", "exceeded its local ephemeral storage limit", "exceeds the total limit")


def examine(facts: Facts) -> Iterator[Clue]:
    """Find nodes that are not well, and pods that suffer from it."""
    for node in facts.of("Node"):
        yield from _of_node(node)
    for pod in facts.of("Pod"):
        yield from _of_pod(facts, pod)


def _of_node(node: Body) -> Iterator[Clue]:
    ready = condition(node, "Ready")
    if ready.status and not ready.holds:
        yield Clue(
            "NodeNotReady",
            ref_of(node),
            f"{ref_of(node)} is not ready: {ready.message}",
            (condition_said(node, "Ready", ready),),
            strength=0.93,
        )
    for name in PRESSURES:
        found = condition(node, name)
        if found.holds:
            yield Clue(
                "NodePressure",
                ref_of(node),
                f"{ref_of(node)} reports {name}: {found.message}",
                (condition_said(node, name, found),),
                facts={"pressure": name},
            )
    if part(node, "spec").get("unschedulable"):
        yield Clue(
            "NodeCordoned",
            ref_of(node),
            f"{ref_of(node)} is cordoned",
            (said(node, "unschedulable: true"),),
            "note",
        )


def _of_pod(facts: Facts, pod: Body) -> Iterator[Clue]:
    status, node_name = status_of(pod), part(pod, "spec").get("nodeName")
    node = named("Node", "", str(node_name))
    if status.get("phase") == "Failed" and status.get("reason") in {
        "Evicted",
        "OutOfcpu",
        "OutOfmemory",
        "NodeAffinity",
        "Preempting",
    }:
        yield _evicted(facts, pod, str(status.get("reason")), str(status.get("message", "")))
    body = facts.get(node) if node_name else None
    if body is not None and not condition(pod, "Ready").holds and not condition(body, "Ready").holds:
        yield Clue(
            "NodeLost",
            ref_of(pod),
            f"{ref_of(pod)} is on {node}, which is not ready",
            (said(pod, f"nodeName {node_name}"),),
            "effect",
            points_to=(node,),
            strength=0.6,
        )


def _evicted(facts: Facts, pod: Body, reason: str, message: str) -> Clue:
    quoted = said(pod, f"{reason}: {message}")
    if any(words in message for words in _OWN_FAULT):
        return Clue(
            "StorageLimitExceeded", ref_of(pod), f"the pod was evicted: {message}", (quoted,), strength=0.93
        )
    node = named("Node", "", str(part(pod, "spec").get("nodeName")))
    return Clue(
        "Evicted",
        ref_of(pod),
        f"the pod had to leave {node}: {message}",
        (quoted,),
        "effect",
        points_to=(node,),
        strength=0.7,
    )
