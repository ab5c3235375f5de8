"""Along which lines trouble travels: from who suffers to who may be the reason."""

from collections.abc import Iterator

from stellwerk.inquiry.facts.dependencies import dependencies
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.references import WORKLOADS, ingress_backends, references_of
from stellwerk.inquiry.facts.templates import labels_of, selects_by
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import condition, part
from stellwerk.release.objects import Body


def ahead(facts: Facts, unit: ObjectRef) -> Iterator[ObjectRef]:
    """List the units whose trouble may be the trouble of this one; the same may come twice."""
    body = facts.get(unit)
    if body is None:
        return
    match unit.kind:
        case "Service":
            yield from (ref_of(one) for one in facts.behind(body))
        case "Ingress":
            yield from (named("Service", unit.namespace, name) for name, _ in ingress_backends(body))
        case "HorizontalPodAutoscaler":
            yield from references_of(body)
        case "PodDisruptionBudget":
            yield from (ref_of(one) for one in facts.workloads if _protects(body, one))
        case "Namespace":
            yield from (ref_of(one) for one in facts.workloads if ref_of(one).namespace == unit.name)
        case "PersistentVolumeClaim":
            yield from references_of(body)
        case kind if kind in WORKLOADS:
            yield from _of_workload(facts, body)
        case _:
            yield from (ref_of(one) for one in facts.controlled(body))


def called(facts: Facts, unit: ObjectRef) -> list[ObjectRef]:
    """List the services that a workload is told to call."""
    body = facts.get(unit)
    return [one.service for one in dependencies(facts, body)] if body and unit.kind in WORKLOADS else []


def before(facts: Facts, unit: ObjectRef) -> Iterator[ObjectRef]:
    """List what leads to a workload: its services, those meant for it, and their ingresses."""
    body = facts.get(unit)
    if body is None or unit.kind not in WORKLOADS | {"Service"}:
        return
    services = [body] if unit.kind == "Service" else facts.of("Service", unit.namespace)
    for service in services:
        names = {ref_of(service).name}
        yield ref_of(service)
        for ingress in facts.of("Ingress", unit.namespace):
            if names & {name for name, _ in ingress_backends(ingress)}:
                yield ref_of(ingress)


def _of_workload(facts: Facts, body: Body) -> Iterator[ObjectRef]:
    for pod in facts.pods(body):
        if not condition(pod, "Ready").holds and (node := part(pod, "spec").get("nodeName")):
            yield named("Node", "", str(node))
    yield from (ref for ref in references_of(body) if ref.kind == "PersistentVolumeClaim")
    prefixes = [
        f"{one['metadata']['name']}-{ref_of(body).name}-"
        for one in part(body, "spec").get("volumeClaimTemplates") or []
    ]
    for claim in facts.of("PersistentVolumeClaim", ref_of(body).namespace):
        if ref_of(claim).name.startswith(tuple(prefixes)) and prefixes:
            yield ref_of(claim)
    yield from (one.service for one in dependencies(facts, body))


def _protects(budget: Body, workload: Body) -> bool:
    selector = part(budget, "spec", "selector")
    return ref_of(budget).namespace == ref_of(workload).namespace and selects_by(
        selector, labels_of(workload)
    )
