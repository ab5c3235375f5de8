"""Which warnings of a cluster are taken into the journal, and once each: pure rules.

A cluster repeats a warning in one event, whose count goes up, for as long as it happens; the event itself is
gone an hour after that. It is told at first, and then once an hour.
"""

from typing import NamedTuple

from stellwerk.clock import MICROSECONDS
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body, Key, group_of
from stellwerk.release.reasons.pods import times

AGAIN_US = 3_600 * MICROSECONDS
LONGEST_MESSAGE = 1_000


class Warned(NamedTuple):
    """A warning of the cluster about something that is ours."""

    uid: str
    """Of the event: the same warning again has the same."""
    root: Key
    """The object of ours to whose family it belongs."""
    about: Key
    """The object that the cluster names: often a pod."""
    reason: str
    message: str
    times: int
    source: str


def warned(root: Key, event: Body) -> Warned | None:
    """Read an event; None if it says too little to be told."""
    target, metadata = part(event, "involvedObject"), part(event, "metadata")
    uid, reason = str(metadata.get("uid") or ""), str(event.get("reason") or "")
    if not uid or not target.get("name"):
        return None
    about = Key(
        str(target.get("namespace") or ""),
        str(target.get("kind") or ""),
        str(target["name"]),
        group_of(str(target.get("apiVersion") or "")),
    )
    source = str(event.get("reportingComponent") or part(event, "source").get("component") or "")
    message = str(event.get("message") or "").strip()[:LONGEST_MESSAGE]
    return Warned(uid, root, about, reason, message, times(event), source)


def is_due(recorded_us: int | None, now_us: int) -> bool:
    """Tell whether a warning is told (again); None for one that never was."""
    return recorded_us is None or now_us - recorded_us >= AGAIN_US
