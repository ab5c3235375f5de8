"""Pods that find no node: which wish cannot be granted, with the exact label, taint or amount."""

import re
from collections.abc import Callable, Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.quoting import condition_said, event_said, said
from stellwerk.inquiry.analyzers.starting import lacking, with_seen
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.resemblance import nearest
from stellwerk.release.conditions import condition, entries, part
from stellwerk.release.objects import Body

_TAINT = re.compile(r"taints? \{([^:}]+):? ?([^}]*)\}")


def examine(facts: Facts) -> Iterator[Clue]:
    """Find pods that the scheduler cannot place."""
    for pod in facts.of("Pod"):
        found = condition(pod, "PodScheduled")
        if found.fails and found.reason == "SchedulingGated":
            summary = "the pod is held back by its scheduling gates"
            yield Clue("SchedulingGated", ref_of(pod), summary, (condition_said(pod, "PodScheduled", found),))
            continue
        message, quoted = _refusal(facts, pod)
        if quoted is None:
            continue
        if clue := lacking(facts, message, pod):
            yield with_seen(clue, quoted)
        else:
            yield _clue(facts, pod, message, quoted)


def _refusal(facts: Facts, pod: Body) -> tuple[str, Seen | None]:
    """Return what the scheduler says; its event may be there before the pod's own condition."""
    found = condition(pod, "PodScheduled")
    if found.fails:
        return found.message, condition_said(pod, "PodScheduled", found)
    failed = [one for one in facts.events(pod) if one.get("reason") == "FailedScheduling"]
    if found.status or part(pod, "spec").get("nodeName") or not failed:
        return "", None
    return str(failed[-1].get("message", "")), event_said(failed[-1], pod)


def _clue(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue:
    for word, rule in _RULES:
        if word.search(message):
            found = rule(facts, pod, message, quoted)
            if found is not None:
                return found
    return Clue("Unschedulable", ref_of(pod), f"no node takes the pod: {message}", (quoted,), strength=0.8)


def _unbound(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue | None:
    namespace = ref_of(pod).namespace
    claims = tuple(
        named("PersistentVolumeClaim", namespace, str(part(one, "persistentVolumeClaim").get("claimName")))
        for one in entries(part(pod, "spec"), "volumes")
        if part(one, "persistentVolumeClaim").get("claimName")
    )
    return Clue(
        "ClaimUnbound", ref_of(pod), "the pod waits for its volume", (quoted,), "effect", points_to=claims
    )


def _selector(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue | None:
    wanted: dict[str, str] = part(pod, "spec").get("nodeSelector") or {}
    labels = [part(node, "metadata", "labels") for node in facts.of("Node")]
    unmet = [
        f"{name}={value}"
        for name, value in wanted.items()
        if not any(one.get(name) == value for one in labels)
    ]
    if not unmet:
        required = part(pod, "spec", "affinity", "nodeAffinity").get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        )
        terms = [
            f"{one.get('key')} {one.get('operator')} {', '.join(one.get('values') or [])}".strip()
            for term in entries(required or {}, "nodeSelectorTerms")
            for one in entries(term, "matchExpressions")
        ]
        if not terms:
            return None
        unmet = terms
    keys = {label for one in labels for label in one}
    have = [f"{name}={one[name]}" for name in wanted for one in labels if name in one]
    near = [other for name in wanted if name not in keys and (other := nearest(name, keys))]
    hint = f"; nodes have {', '.join(sorted(set(have or near))[:4])}" if have or near else ""
    seen = [quoted, said(pod, f"wants {' and '.join(unmet)}")] + [
        said(
            node,
            "labels: " + ", ".join(f"{k}={v}" for k, v in sorted(part(node, "metadata", "labels").items())),
        )
        for node in facts.of("Node")[:2]
    ]
    return Clue(
        "NodeSelectorUnmatched",
        ref_of(pod),
        f"no node has the label {' and '.join(unmet)}{hint}",
        tuple(seen),
        facts={"label": unmet[0]},
        strength=0.93,
    )


def _taint(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue | None:
    nodes = [node for node in facts.of("Node") if entries(part(node, "spec"), "taints")]
    lost = tuple(ref_of(node) for node in nodes if not condition(node, "Ready").holds)
    if lost and len(lost) == len(facts.of("Node")):
        return Clue("NodesNotReady", ref_of(pod), "no node is ready", (quoted,), "effect", points_to=lost)
    wished: dict[str, str] = part(pod, "spec").get("nodeSelector") or {}
    nodes = [
        node for node in nodes if all(part(node, "metadata", "labels").get(k) == v for k, v in wished.items())
    ] or nodes
    taints = [
        f"{one.get('key')}{'=' + str(one['value']) if one.get('value') else ''}:{one.get('effect')}"
        for node in nodes
        for one in entries(part(node, "spec"), "taints")
    ]
    cordoned = [ref_of(node) for node in nodes if part(node, "spec").get("unschedulable")]
    seen = [quoted] + [said(node, f"taints: {', '.join(taints)}") for node in nodes[:2]]
    if cordoned and all("unschedulable" in taint for taint in taints):
        return Clue(
            "NodeCordoned",
            ref_of(pod),
            f"{cordoned[0]} is cordoned, and no other node takes the pod",
            tuple(seen),
            blames=tuple(cordoned),
        )
    found = _TAINT.search(message)
    text = ", ".join(dict.fromkeys(taints)) or (found[0] if found else "")
    return Clue(
        "TaintNotTolerated",
        ref_of(pod),
        f"the pod does not tolerate the taint {text} of the nodes that would fit",
        tuple(seen),
        facts={"taint": text},
        strength=0.9,
    )


def _ports(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue | None:
    ports = [
        str(port["hostPort"])
        for one in entries(part(pod, "spec"), "containers")
        for port in entries(one, "ports")
        if port.get("hostPort")
    ]
    return Clue(
        "HostPortTaken",
        ref_of(pod),
        f"the host port {', '.join(ports)} is taken on every node",
        (quoted,),
        facts={"port": ",".join(ports)},
    )


def _affinity(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue | None:
    rule = "anti-affinity" if "anti" in message else "affinity"
    return Clue(
        "AffinityUnmet",
        ref_of(pod),
        f"the pod's {rule} rule leaves no node for it",
        (quoted,),
        facts={"rule": rule},
    )


def _amount(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue | None:
    found = re.search(r"Insufficient ([\w./-]+)", message)
    resource = found[1] if found else "resources"
    asked = [
        str(part(one, "resources", "requests").get(resource))
        for one in entries(part(pod, "spec"), "containers")
        if part(one, "resources", "requests").get(resource)
    ]
    nodes = [
        said(node, f"allocatable {resource}: {part(node, 'status', 'allocatable').get(resource)}")
        for node in facts.of("Node")[:3]
    ]
    return Clue(
        "InsufficientResources",
        ref_of(pod),
        f"no node has {' + '.join(asked) or 'enough'} {resource} free",
        (quoted, *nodes),
        facts={"resource": resource, "requested": " + ".join(asked)},
    )


def _conflict(facts: Facts, pod: Body, message: str, quoted: Seen) -> Clue | None:
    return Clue(
        "VolumeElsewhere",
        ref_of(pod),
        f"the pod's volume cannot be used where the pod could run: {message}",
        (quoted,),
    )


_Rule = Callable[[Facts, Body, str, Seen], Clue | None]
_RULES: tuple[tuple[re.Pattern[str], _Rule], ...] = (
    (re.compile(r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim"), _unbound),
    (re.compile(r"volume node affinity conflict|exceed max volume count"), _conflict),
    (re.compile(r"taint"), _taint),
    (re.compile(r"unschedulable"), _taint),
    (
        re.compile(r"node selector|node\(s\) didn't match Pod's node affinity|node affinity/selector"),
        _selector,
    ),
    (re.compile(r"free ports"), _ports),
    (re.compile(r"Insufficient"), _amount),
    (re.compile(r"anti-affinity|pod affinity|pod topology"), _affinity),
)
"""By what the scheduler counts; where it counts several, the first that can be proven is the answer."""
