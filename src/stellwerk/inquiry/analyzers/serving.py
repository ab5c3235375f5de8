"""Services with nobody behind them: a selector or a port that matches nothing, or pods that are not ready.

Where two objects do not fit together, the one that changed last is to blame: a Service that matched the pods
of the revision before was right, and the new pods are not.
"""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.listening import ports_listened
from stellwerk.inquiry.analyzers.quoting import log_said, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.resemblance import meant_by
from stellwerk.inquiry.facts.templates import containers, labels_of, selects, template_of
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body


def examine(facts: Facts) -> Iterator[Clue]:
    """Find services that lead nowhere."""
    for service in facts.of("Service"):
        if part(service, "spec").get("selector") and part(service, "spec").get("type") != "ExternalName":
            yield from _of_service(facts, service)


def _of_service(facts: Facts, service: Body) -> Iterator[Clue]:
    behind = facts.behind(service)
    if not behind:
        if not _addresses(facts, service):
            yield from _unmatched(facts, service)
        return
    wrong = list(_ports(facts, service, behind))
    yield from wrong
    endpoints = facts.endpoints(service)
    if endpoints is not None and not wrong and not _addresses(facts, service):
        yield Clue(
            "NoReadyEndpoints",
            ref_of(service),
            f"no pod behind {ref_of(service)} is ready",
            (said(endpoints, "no ready addresses"),),
            "effect",
            points_to=tuple(ref_of(one) for one in behind),
            strength=0.5,
        )


def _addresses(facts: Facts, service: Body) -> bool:
    endpoints = facts.endpoints(service)
    return any(one.get("addresses") for one in entries(endpoints or {}, "subsets"))


def _unmatched(facts: Facts, service: Body) -> Iterator[Clue]:
    selector: dict[str, str] = part(service, "spec").get("selector") or {}
    wanted = ", ".join(f"{name}={value}" for name, value in selector.items())
    meant = meant_by(service, facts)
    quoted = said(service, f"selector {wanted}")
    if not meant:
        if facts.bundle.gaps and any(
            "Deployment in" in gap.what or "Pod in" in gap.what for gap in facts.bundle.gaps
        ):
            return
        yield Clue(
            "NothingBehindService",
            ref_of(service),
            f"nothing in the namespace has the labels {wanted} that {ref_of(service)} selects",
            (quoted,),
            strength=0.8,
        )
        return
    workload = meant[0]
    labels = ", ".join(f"{name}={value}" for name, value in labels_of(workload).items())
    blamed = ref_of(service)
    earlier = facts.earlier(workload) if workload.get("kind") == "Deployment" else None
    if earlier is not None and selects(selector, labels_of(earlier)):
        blamed = ref_of(workload)
    yield Clue(
        "SelectorUnmatched",
        ref_of(service),
        f"{ref_of(service)} selects {wanted}, but the pods of {ref_of(workload)} have {labels}",
        (quoted, said(workload, f"labels of its pods: {labels}")),
        blames=(blamed,),
        facts={"selector": wanted, "labels": labels, "workload": ref_of(workload).name},
        strength=0.93,
    )


def _ports(facts: Facts, service: Body, behind: list[Body]) -> Iterator[Clue]:
    for port in entries(part(service, "spec"), "ports"):
        wanted = port.get("targetPort") or port.get("port")
        for workload in behind:
            if (found := _instead(facts, workload, wanted)) is None:
                continue
            instead, seen = found
            yield Clue(
                "TargetPortUnmatched",
                ref_of(service),
                f"{ref_of(service)} leads to port {wanted}, but {ref_of(workload)} has {instead}",
                (said(service, f"targetPort {wanted}"), seen),
                blames=(_to_blame(facts, service, workload, wanted),),
                facts={"targetPort": str(wanted)},
            )


def _instead(facts: Facts, workload: Body, wanted: object) -> tuple[str, Seen] | None:
    """Return which ports a workload has instead of the one that is wanted, and where that is told."""
    declared = [one for container in containers(workload, init=False) for one in entries(container, "ports")]
    if isinstance(wanted, str):
        names = [str(one["name"]) for one in declared if one.get("name")]
        shown = f"the names {', '.join(names)}" if names else "no names of ports"
        return None if wanted in names else (shown, said(workload, f"its containers declare {shown}"))
    numbers = {one.get("containerPort") for one in declared}
    if wanted in numbers:
        return None
    heard = [one for pod in facts.pods(workload) for one in ports_listened(facts, pod)]
    if heard:
        number, log, line = heard[-1]
        known = str(wanted) in {found for found, _, _ in heard}
        return None if known else (number, log_said(log, line))
    ports = ", ".join(str(one) for one in sorted(numbers, key=str))
    return (ports, said(workload, f"its containers declare the ports {ports}")) if numbers else None


def _to_blame(facts: Facts, service: Body, workload: Body, wanted: object) -> ObjectRef:
    """Return which of two that do not fit is to blame: the one that changed last."""
    earlier = facts.earlier(workload) if workload.get("kind") == "Deployment" else None
    if earlier is None:
        return ref_of(service)
    before = template_of(earlier)
    ports = [
        one
        for container in entries(part(before, "spec"), "containers")
        for one in entries(container, "ports")
    ]
    fitted = any(wanted in {one.get("containerPort"), one.get("name")} for one in ports)
    return ref_of(workload) if fitted else ref_of(service)
