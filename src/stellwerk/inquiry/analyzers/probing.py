"""Probes that fail: aimed at the wrong port or path, asked too early, or right to fail."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.listening import ports_listened
from stellwerk.inquiry.analyzers.quoting import event_said, log_said, said
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.templates import container_named
from stellwerk.release.conditions import condition, entries, part
from stellwerk.release.objects import Body

PROBES = ("readiness", "liveness", "startup")
_FAILED = re.compile(r"(readiness|liveness|startup) probe (?:failed|errored)", re.IGNORECASE)
_STATUS = re.compile(r"statuscode: (\d{3})")
_REFUSED = re.compile(r"connection refused|connect: ", re.IGNORECASE)
_NO_PORT = re.compile(r"couldn't find port|strconv|invalid port", re.IGNORECASE)
_NO_PROGRAM = re.compile(
    r"executable file not found|no such file or directory|not found in \$PATH", re.IGNORECASE
)
_BEGINNING = re.compile(
    r"\b(?:starting|loading|warming|migrat|initiali[sz]|booting|preparing)", re.IGNORECASE
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find containers whose probes fail now."""
    for pod in facts.of("Pod"):
        for status, first in statuses(pod):
            if not first and not (status.get("ready") and condition(pod, "Ready").holds):
                yield from _of_container(facts, pod, str(status.get("name")))


def _of_container(facts: Facts, pod: Body, name: str) -> Iterator[Clue]:
    container = container_named(pod, name)
    events = [
        one
        for one in facts.events(pod)
        if f"{{{name}}}" in part(one, "involvedObject").get("fieldPath", f"{{{name}}}")
    ]
    for probe in PROBES:
        failed = [
            one
            for one in events
            if (found := _FAILED.match(str(one.get("message", "")))) and found[1].lower() == probe
        ]
        if failed and part(container, f"{probe}Probe"):
            yield _clue(facts, pod, container, probe, failed[-1])


def _clue(facts: Facts, pod: Body, container: Body, probe: str, event: Body) -> Clue:
    name, message = str(container.get("name")), str(event.get("message", ""))
    aimed = part(container, f"{probe}Probe")
    quoted = event_said(event, pod)
    about = {"container": name, "probe": probe}
    http = part(aimed, "httpGet")
    port = http.get("port") or part(aimed, "tcpSocket").get("port")
    status = _STATUS.search(message)
    if _NO_PORT.search(message) or (isinstance(port, str) and port not in _named_ports(container)):
        return Clue(
            "ProbePortWrong",
            ref_of(pod),
            f"the {probe} probe of {name} asks at the port {port}, which the container does not name",
            (quoted,),
            facts=about | {"port": str(port)},
        )
    if status and status[1] in {"404", "405"}:
        path = str(http.get("path", "/"))
        return Clue(
            "ProbePathWrong",
            ref_of(pod),
            f"the {probe} probe of {name} asks for {path}, which the program does not have ({status[1]})",
            (quoted, _spec(pod, container, probe)),
            facts=about | {"path": path},
            strength=0.92,
        )
    if port is not None and _REFUSED.search(message):
        if found := _wrong_port(facts, pod, container, port):
            right, seen = found
            return Clue(
                "ProbePortWrong",
                ref_of(pod),
                f"the {probe} probe of {name} asks at port {port}, but the program listens at {right}",
                (quoted, seen),
                facts=about | {"port": str(port), "right": right},
                strength=0.92,
            )
        if probe != "readiness" and (early := _early(facts, pod, name)):
            return Clue(
                "ProbeTooEarly",
                ref_of(pod),
                f"the {probe} probe of {name} ends the program before it has started",
                (quoted, early, _spec(pod, container, probe)),
                facts=about,
                strength=0.8,
            )
    if part(aimed, "exec") and _NO_PROGRAM.search(message):
        return Clue(
            "ProbeCommandMissing",
            ref_of(pod),
            f"the {probe} probe of {name} runs a program that the image does not have",
            (quoted,),
            facts=about,
        )
    return Clue(
        "ProbeFailed",
        ref_of(pod),
        f"the {probe} probe of {name} fails: {message.partition(': ')[2] or message}",
        (quoted,),
        "effect",
        facts=about,
        strength=0.45,
    )


def _wrong_port(facts: Facts, pod: Body, container: Body, port: object) -> tuple[str, Seen] | None:
    """Return the port at which the program listens, if it is another one than a probe asks at."""
    number = _named_ports(container).get(str(port), port)
    heard = ports_listened(facts, pod, str(container.get("name")))
    if heard and str(number) not in {found for found, _, _ in heard}:
        found, log, line = heard[-1]
        return found, log_said(log, line)
    declared = [str(one.get("containerPort")) for one in entries(container, "ports")]
    if declared and str(number) not in declared and not heard:
        return ", ".join(declared), said(
            pod, f"container {container.get('name')} declares ports {', '.join(declared)}"
        )
    return None


def _early(facts: Facts, pod: Body, container: str) -> Seen | None:
    for log in facts.logs(pod):
        lines = [line for line in log.text.splitlines() if line.strip()]
        if log.container == container and lines and _BEGINNING.search(lines[-1]):
            return log_said(log, lines[-1])
    return None


def _named_ports(container: Body) -> dict[str, object]:
    return {
        str(one["name"]): one.get("containerPort") for one in entries(container, "ports") if one.get("name")
    }


def _spec(pod: Body, container: Body, probe: str) -> Seen:
    aimed = part(container, f"{probe}Probe")
    shown = {name: value for name, value in aimed.items() if name not in {"successThreshold", "scheme"}}
    return said(pod, f"{probe}Probe of {container.get('name')}: {shown}")
