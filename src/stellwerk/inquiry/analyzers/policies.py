"""Network policies that let nobody through, computed from their text: the cluster tells nobody."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Seen
from stellwerk.inquiry.analyzers.quoting import said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.templates import containers, labels_of, selects_by
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body


def between(facts: Facts, caller: Body, service: Body) -> Iterator[tuple[ObjectRef, Seen]]:
    """List the policies that stand between a workload and the pods behind a Service."""
    for callee in facts.behind(service):
        inward = [
            one
            for one in facts.of("NetworkPolicy", ref_of(callee).namespace)
            if _applies(one, callee, "Ingress")
        ]
        if inward and not any(_lets_in(facts, one, caller, callee, service) for one in inward):
            yield (
                ref_of(inward[0]),
                said(
                    inward[0],
                    f"podSelector {part(inward[0], 'spec', 'podSelector')}, ingress "
                    f"{part(inward[0], 'spec').get('ingress') or 'none'}",
                ),
            )
        outward = [
            one
            for one in facts.of("NetworkPolicy", ref_of(caller).namespace)
            if _applies(one, caller, "Egress")
        ]
        if outward and not any(_lets_out(facts, one, callee, service) for one in outward):
            yield (
                ref_of(outward[0]),
                said(
                    outward[0],
                    f"podSelector {part(outward[0], 'spec', 'podSelector')}, egress "
                    f"{part(outward[0], 'spec').get('egress') or 'none'}",
                ),
            )


def _applies(policy: Body, workload: Body, direction: str) -> bool:
    spec = part(policy, "spec")
    types = spec.get("policyTypes") or (["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
    return direction in types and selects_by(part(spec, "podSelector"), labels_of(workload))


def _lets_in(facts: Facts, policy: Body, caller: Body, callee: Body, service: Body) -> bool:
    home = ref_of(policy).namespace
    return any(
        _any_peer(facts, entries(rule, "from"), caller, home)
        and _port(entries(rule, "ports"), callee, service)
        for rule in entries(part(policy, "spec"), "ingress")
    )


def _lets_out(facts: Facts, policy: Body, callee: Body, service: Body) -> bool:
    home = ref_of(policy).namespace
    return any(
        _any_peer(facts, entries(rule, "to"), callee, home) and _port(entries(rule, "ports"), callee, service)
        for rule in entries(part(policy, "spec"), "egress")
    )


def _any_peer(facts: Facts, peers: object, workload: Body, home: str) -> bool:
    listed = list(peers) if isinstance(peers, list | tuple) else []
    return not listed or any(_peer(facts, one, workload, home) for one in listed)


def _peer(facts: Facts, peer: Body, workload: Body, home: str) -> bool:
    if "ipBlock" in peer:
        return True  # addresses change; to accuse wrongly is worse
    space = ref_of(workload).namespace
    if "namespaceSelector" in peer:
        body = facts.get(named("Namespace", "", space))
        labels = part(body or {}, "metadata", "labels") | {"kubernetes.io/metadata.name": space}
        if not selects_by(part(peer, "namespaceSelector"), labels):
            return False
    elif space != home:
        return False
    return "podSelector" not in peer or selects_by(part(peer, "podSelector"), labels_of(workload))


def _port(ports: object, callee: Body, service: Body) -> bool:
    listed = list(ports) if isinstance(ports, list | tuple) else []
    if not listed:
        return True
    reached = {one.get("targetPort") or one.get("port") for one in entries(part(service, "spec"), "ports")}
    names = {
        one.get("name"): one.get("containerPort")
        for container in containers(callee)
        for one in entries(container, "ports")
    }
    reached |= {names.get(one) for one in reached}
    return any(
        one.get("port") in reached or names.get(one.get("port")) in reached or "port" not in one
        for one in listed
    )
