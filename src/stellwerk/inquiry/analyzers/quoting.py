"""Evidence in the words of the cluster: short enough to be read, and always with its place."""

from stellwerk.inquiry.analyzers.clue import Seen
from stellwerk.inquiry.facts.facts import event_at
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.model import LogText, ObjectRef
from stellwerk.release.conditions import Condition, instant
from stellwerk.release.objects import Body

LONGEST = 400
"""Characters of an excerpt."""


def said(body: Body, text: str, at: object = None) -> Seen:
    """Quote what an object itself says: its status or its spec."""
    return Seen("object", ref_of(body), shorten(text), micros(at))


def condition_said(body: Body, name: str, found: Condition) -> Seen:
    """Quote a condition."""
    words = ": ".join(word for word in (found.reason, found.message) if word)
    at = int(found.since.timestamp() * 1_000_000) if found.since else None
    return Seen("object", ref_of(body), shorten(f"{name}={found.status} {words}".strip()), at)


def event_said(event: Body, about: Body) -> Seen:
    """Quote an event about an object."""
    times = int(event.get("count") or 1)
    often = f" ({times} times)" if times > 1 else ""
    text = f"{event.get('reason')}: {event.get('message', '')}{often}"
    return Seen("event", ref_of(about), shorten(text), micros(event_at(event)))


def log_said(log: LogText, line: str) -> Seen:
    """Quote a line of a log."""
    where = f"{log.container}{' (run before)' if log.previous else ''}"
    return Seen("log", ObjectRef("Pod", log.namespace, log.pod), f"{where}: {shorten(line.strip())}")


def measured(pod: Body, text: str) -> Seen:
    """Tell what was measured of a pod."""
    return Seen("metric", ref_of(pod), shorten(text))


def not_there(ref: ObjectRef, near: str | None = None) -> Seen:
    """Say that something was looked for and is not there."""
    hint = f"; {near} is" if near else ""
    return Seen("list", ref, f"{ref} is not there{hint}")


def shorten(text: str) -> str:
    """Cut a text to what an excerpt may have."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "…"


def micros(at: object) -> int | None:
    """Return a time of Kubernetes in microseconds; None if it is none."""
    found = instant(str(at).replace("~", ".")) if at else None
    return int(found.timestamp() * 1_000_000) if found else None
