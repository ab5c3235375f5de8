"""Whether trouble is over: what once went wrong with a target that is well now."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Seen
from stellwerk.inquiry.analyzers.quoting import condition_said, event_said, log_said, said
from stellwerk.inquiry.facts.facts import Facts, statuses
from stellwerk.inquiry.facts.references import WORKLOADS
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import condition, instant, part
from stellwerk.release.objects import Body

HARMLESS = frozenset(
    {"FailedToUpdateEndpoint", "DNSConfigForming", "Unhealthy", "FailedToUpdateEndpointSlices"}
)
"""Warnings that every start may bring; repeated ones count all the same."""
OFTEN = 5
_COMPLAINED = re.compile(r"refused|timed? ?out|unreachable|cannot|could not|failed|error", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?<=://)[a-z0-9][a-z0-9.-]*(?::\d+)?|(?<![a-z0-9.-])[a-z0-9][a-z0-9.-]{0,252}:\d{2,5}\b"
)
_RECOVERED = re.compile(
    r"\b(?:re-?connected|recovered|connected to|connection established|is back|is up again)\b", re.IGNORECASE
)


def past_trouble(facts: Facts, unit: ObjectRef) -> list[Seen]:
    """List what went wrong with a unit before, and is no more."""
    body = facts.get(unit)
    if body is None:
        return []
    members = [body]
    if unit.kind in WORKLOADS:
        members += facts.pods(body, every=True) + [
            one for one in facts.of("ReplicaSet") if facts.top(one) is body
        ]
    elif unit.kind == "Service":
        members += [pod for one in facts.behind(body) for pod in facts.pods(one)]
    return [seen for member in members for seen in _of_member(facts, member)] + list(_of_gone(facts, unit))


def _of_member(facts: Facts, body: Body) -> Iterator[Seen]:
    for status, first in statuses(body):
        ended = part(status, "lastState", "terminated")
        if ended and not first and ended.get("exitCode") != 0:
            yield said(
                body,
                f"container {status.get('name')} ended before: {ended.get('reason')}, exit code "
                f"{ended.get('exitCode')}",
                ended.get("finishedAt"),
            )
    yield from (event_said(event, body) for event in facts.events(body) if _counts(event))
    for log in facts.logs(body):
        if (back := _came_back(log.text.splitlines())) is not None:
            yield log_said(log, back)
    if body.get("kind") == "Deployment":
        yield from _was_unavailable(facts, body)


def _came_back(lines: list[str]) -> str | None:
    """Return the line in which a program says that what it complained of works again."""
    lost: set[str] = set()
    complained = False
    for line in lines:
        addresses = set(_ADDRESS.findall(line))
        if _COMPLAINED.search(line):
            complained, lost = True, lost | addresses
        elif complained and (_RECOVERED.search(line) or lost & addresses):
            return line
    return None


def _was_unavailable(facts: Facts, deployment: Body) -> Iterator[Seen]:
    """Tell that a Deployment got well only with its newest revision: the one before served nobody."""
    newest, available = facts.newest(deployment), condition(deployment, "Available")
    made = instant(part(newest or {}, "metadata").get("creationTimestamp"))
    since = available.since if available.holds and facts.earlier(deployment) is not None else None
    if made is not None and since is not None and since > made:
        yield condition_said(deployment, "Available", available)


def _of_gone(facts: Facts, unit: ObjectRef) -> Iterator[Seen]:
    """List warnings about pods that the unit had and that are gone."""
    for event in facts.of("Event"):
        about = part(event, "involvedObject")
        made = about.get("kind") == "Pod" and str(about.get("name", "")).startswith(f"{unit.name}-")
        ref = ObjectRef("Pod", str(about.get("namespace", "")), str(about.get("name", "")))
        if made and facts.get(ref) is None and _counts(event):
            yield event_said(
                event, {"kind": "Pod", "metadata": {"name": ref.name, "namespace": ref.namespace}}
            )


def _counts(event: Body) -> bool:
    if event.get("type") != "Warning":
        return False
    message = str(event.get("message", ""))
    often = int(event.get("count") or 1)
    if "failed to sync" in message:
        return False
    return event.get("reason") not in HARMLESS or often >= OFTEN


def latest(seen: list[Seen]) -> Seen | None:
    """Return the last of what went wrong."""
    return max(seen, key=lambda one: one.at or 0, default=None)
