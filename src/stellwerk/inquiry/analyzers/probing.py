"""Probes that fail: aimed at the wrong port or path, asked too early, or right to fail."""

import re
from collections.abc import Iterator
from dataclasses import replace

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.crashing import SIGNALLED, crashed
from stellwerk.inquiry.analyzers.listening import ports_listened
from stellwerk.inquiry.analyzers.quoting import event_said, log_said, said
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.templates import container_named
from stellwerk.release.conditions import condition, entries, part
from stellwerk.release.objects import Body

UNHEARD = 0.1
"""What a judgement is worth less where no event tells of the probe."""
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
            if first:
                continue
            unready = not (status.get("ready") and condition(pod, "Ready").holds)
            ended = crashed(facts, pod, status)
            container = container_named(pod, str(status.get("name")))
            if failed := _failed(facts, pod, container, "readiness") if unready else None:
                yield _clue(facts, pod, container, "readiness", failed)
            elif unready and part(status, "state", "running"):
                quoted = said(pod, f"container {status.get('name')} runs and is not ready")
                yield from _unheard(facts, pod, container, "readiness", quoted)
            for probe in ("liveness", "startup"):
                if failed := _failed(facts, pod, container, probe) if unready or ended else None:
                    yield _clue(facts, pod, container, probe, failed)
                elif ended and _signalled(status):
                    code = part(status, "lastState", "terminated").get("exitCode")
                    quoted = said(pod, f"container {status.get('name')} ended: exit code {code}")
                    yield from _unheard(facts, pod, container, probe, quoted)


def _signalled(status: Body) -> bool:
    ended = part(status, "lastState", "terminated")
    return ended.get("exitCode") in SIGNALLED and ended.get("reason") != "OOMKilled"


def _failed(facts: Facts, pod: Body, container: Body, probe: str) -> Body | None:
    """Return the last event that tells of a failed probe; None if there is none, or no such probe now."""
    if not part(container, f"{probe}Probe"):
        return None
    here = f"{{{container.get('name')}}}"
    failed = [
        one
        for one in facts.events(pod)
        if here in part(one, "involvedObject").get("fieldPath", here)
        and (found := _FAILED.match(str(one.get("message", ""))))
        and found[1].lower() == probe
    ]
    return failed[-1] if failed else None


def _unheard(facts: Facts, pod: Body, container: Body, probe: str, quoted: Seen) -> Iterator[Clue]:
    """Judge a probe by its text where no event was seen: a node that has much to tell drops some."""
    if clue := _misaimed(facts, pod, container, probe, (quoted, _spec(pod, container, probe))):
        yield replace(clue, strength=clue.strength - UNHEARD)


def _clue(facts: Facts, pod: Body, container: Body, probe: str, event: Body) -> Clue:
    name, message = str(container.get("name")), str(event.get("message", ""))
    aimed, about = part(container, f"{probe}Probe"), {"container": name, "probe": probe}
    quoted = event_said(event, pod)
    status = _STATUS.search(message)
    if status and status[1] in {"404", "405"}:
        path = str(part(aimed, "httpGet").get("path", "/"))
        return Clue(
            "ProbePathWrong",
            ref_of(pod),
            f"the {probe} probe of {name} asks for {path}, which the program does not have ({status[1]})",
            (quoted, _spec(pod, container, probe)),
            facts=about | {"path": path},
            strength=0.92,
        )
    if _REFUSED.search(message) or _NO_PORT.search(message):
        seen = (quoted, _spec(pod, container, probe))
        if clue := _misaimed(facts, pod, container, probe, seen):
            return clue
    if part(aimed, "exec") and _NO_PROGRAM.search(message):
        summary = f"the {probe} probe of {name} runs a program that the image does not have"
        return Clue("ProbeCommandMissing", ref_of(pod), summary, (quoted,), facts=about)
    summary = f"the {probe} probe of {name} fails: {message.partition(': ')[2] or message}"
    return Clue("ProbeFailed", ref_of(pod), summary, (quoted,), "effect", facts=about, strength=0.45)


def _misaimed(facts: Facts, pod: Body, container: Body, probe: str, seen: tuple[Seen, ...]) -> Clue | None:
    """Tell that a probe asks at a port where nobody listens, or before anybody does."""
    name, aimed = str(container.get("name")), part(container, f"{probe}Probe")
    about = {"container": name, "probe": probe}
    port = part(aimed, "httpGet").get("port") or part(aimed, "tcpSocket").get("port")
    if port is None:
        return None
    if isinstance(port, str) and port not in _named_ports(container):
        summary = f"the {probe} probe of {name} asks at the port {port}, which the container does not name"
        return Clue("ProbePortWrong", ref_of(pod), summary, seen, facts=about | {"port": port})
    if found := _wrong_port(facts, pod, container, port):
        right, heard = found
        summary = f"the {probe} probe of {name} asks at port {port}, but the program listens at {right}"
        about |= {"port": str(port), "right": right}
        return Clue("ProbePortWrong", ref_of(pod), summary, (*seen, heard), facts=about, strength=0.92)
    if probe != "readiness" and (early := _early(facts, pod, name)):
        summary = f"the {probe} probe of {name} ends the program before it has started"
        return Clue("ProbeTooEarly", ref_of(pod), summary, (*seen, early), facts=about, strength=0.8)
    return None


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
