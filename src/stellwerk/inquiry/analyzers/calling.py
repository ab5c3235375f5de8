"""Programs that say that they cannot reach somebody: whom they mean, and what may stand between."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.complaining import COMPLAINT, complaints
from stellwerk.inquiry.analyzers.policies import between
from stellwerk.inquiry.analyzers.quoting import log_said, not_there, said
from stellwerk.inquiry.facts.dependencies import Dependency, dependencies, service_named
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.resemblance import nearest
from stellwerk.inquiry.model import LogText, ObjectRef
from stellwerk.release.conditions import condition, part
from stellwerk.release.objects import Body

_UNREACHED = re.compile(
    r"connection refused|connection reset|reset by peer|broken pipe|timed? ?out"
    r"|timeout|no route to host|unreachable|bad address"
    r"|no such host|name or service not known|name resolution|could not resolve"
    r"|cannot resolve|getaddrinfo|enotfound|eai_again|unknownhost|econnrefused"
    r"|(?:can(?:no|')t|could not|unable to|failed to|error) (?:connect|connecting"
    r"|reach|dial|contact|resolve|fetch|call|open connection)"
    r"|waiting for|not reachable|upstream|unavailable|\b50[234]\b|deadline exceeded",
    re.IGNORECASE,
)
_FAILED = re.compile(r"\b(?:error|failed|failure|unavailable)\b", re.IGNORECASE)
_ADDRESS = re.compile(r"://|[a-z0-9]:\d{2,5}\b")
"""With such an address a plain failure is one of a call."""
_SILENT = re.compile(r"timed? ?out|timeout|deadline exceeded|no route|unreachable", re.IGNORECASE)
_HOST = re.compile(
    r"(?<![\w.-])((?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\.)*[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)(?::(\d{2,5}))?(?![\w-])"
)
_NAMED_HOST = re.compile(
    r"(?:://|host(?:name)? |upstream |address |lookup |resolve (?:host|name) "
    r"|enotfound |eai_again |exception: )"
    r"['\"]?([a-z](?:[-a-z0-9.]*[a-z0-9])?)(?![\w.-])",
    re.IGNORECASE,
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find calls that do not arrive."""
    for workload in facts.workloads:
        known = {one.service: one for one in dependencies(facts, workload)}
        told: set[ObjectRef] = set()
        for pod in facts.pods(workload):
            for log, line in complaints(facts, pod):
                for service in _meant(facts, known, line, ref_of(workload)):
                    if service not in told and not _answered_since(log, line, service):
                        told.add(service)
                        yield from _clues(
                            facts, workload, pod, service, told_by=known.get(service), words=(log, line)
                        )


def _meant(facts: Facts, known: dict[ObjectRef, Dependency], line: str, caller: ObjectRef) -> list[ObjectRef]:
    """Return the services that a line speaks of: those that are there, and those that a setting names."""
    if not _UNREACHED.search(line) and not (_FAILED.search(line) and _ADDRESS.search(line)):
        return []
    found: list[ObjectRef] = []
    hosts = {one.host: one.service for one in known.values()}
    for match in _HOST.finditer(line):
        host = match[1]
        service = hosts.get(host) or service_named(facts, host, caller.namespace)
        if (
            service is not None
            and (service in known or facts.get(service) is not None)
            and service not in found
        ):
            found.append(service)
    if not found and (named_host := _NAMED_HOST.search(line)):
        service = service_named(facts, named_host[1].lower(), caller.namespace)
        if service is not None and re.search(
            r"bad address|no such host|not known|resol|lookup|enotfound|eai_again|unknownhost",
            line,
            re.IGNORECASE,
        ):
            found.append(service)
    own = {ref_of(one) for one in facts.fronting(facts.get(caller) or {})}
    return [one for one in found if one not in own]


def _answered_since(log: LogText, line: str, service: ObjectRef) -> bool:
    """Whether a later line of the log speaks of a Service and does not complain."""
    later = log.text[log.text.rfind(line) + len(line) :].splitlines()
    return any(service.name in one and not COMPLAINT.search(one) for one in later)


def _clues(
    facts: Facts,
    workload: Body,
    pod: Body,
    service: ObjectRef,
    *,
    told_by: Dependency | None,
    words: tuple[LogText, str],
) -> Iterator[Clue]:
    quoted = log_said(*words)
    body = facts.get(service)
    if body is None:
        if facts.absent(service):
            yield _absent(facts, pod, service, told_by, quoted)
        return
    if told_by is not None and (clue := _wrong_port(pod, body, told_by, quoted, workload)):
        yield clue
        return
    if _SILENT.search(words[1]):
        for policy, seen in between(facts, workload, body):
            yield Clue(
                "PolicyBlocks",
                ref_of(pod),
                f"{policy} lets {ref_of(workload)} not reach {service}",
                (quoted, seen),
                blames=(policy,),
                facts={"policy": policy.name, "service": service.name},
                strength=0.85,
            )
            return
    if _waits(pod, words[0].container):
        yield Clue(
            "InitContainerWaits",
            ref_of(pod),
            f"the init container {words[0].container} waits for {service}",
            (quoted,),
            "effect",
            points_to=(service,),
            strength=0.5,
        )
        return
    yield Clue(
        "DependencyUnreachable",
        ref_of(pod),
        f"{ref_of(workload)} cannot use {service}",
        (quoted,),
        "effect",
        points_to=(service,),
        facts={"service": service.name},
        strength=0.5,
    )


def _absent(facts: Facts, pod: Body, service: ObjectRef, told_by: Dependency | None, quoted: Seen) -> Clue:
    names = [ref_of(one).name for one in facts.of("Service", service.namespace)]
    near = nearest(service.name, names)
    blamed: tuple[ObjectRef, ...] = (service,)
    code = "MissingService"
    if near and told_by is not None:
        code = "AddressWrong"
        source = told_by.setting.source
        blamed = (named(source[0], ref_of(pod).namespace, source[1]),) if source else ()
    where = f" ({told_by.setting.where})" if told_by else ""
    return Clue(
        code,
        ref_of(pod),
        f"{facts.unit(ref_of(pod))} calls {service.name}{where}, and there is no such Service"
        + (f"; {near} is there" if near else ""),
        (quoted, not_there(service, near)),
        blames=blamed,
        facts={"missing": service.name} | ({"near": near} if near else {}),
        strength=0.9,
    )


def _wrong_port(pod: Body, service: Body, told_by: Dependency, quoted: Seen, workload: Body) -> Clue | None:
    ports = [one.get("port") for one in part(service, "spec").get("ports") or []]
    if told_by.port is None or told_by.port in ports or part(service, "spec").get("clusterIP") == "None":
        return None
    source = told_by.setting.source
    blamed = (named(source[0], ref_of(pod).namespace, source[1]),) if source else ()
    shown = ", ".join(str(one) for one in ports)
    return Clue(
        "AddressWrong",
        ref_of(pod),
        f"{ref_of(workload)} calls port {told_by.port} of {ref_of(service)} "
        f"({told_by.setting.where}), which has {shown}",
        (quoted, said(service, f"ports {shown}")),
        blames=blamed,
        facts={"port": str(told_by.port)},
        strength=0.9,
    )


def _waits(pod: Body, container: str) -> bool:
    names = {one.get("name") for one in part(pod, "status").get("initContainerStatuses") or []}
    return container in names and not condition(pod, "Initialized").holds
