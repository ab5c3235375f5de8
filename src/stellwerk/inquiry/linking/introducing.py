"""The change that introduced a cause."""

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import micros
from stellwerk.inquiry.facts.facts import Facts, revision
from stellwerk.inquiry.model import Change, ObjectRef
from stellwerk.release.conditions import part

TOGETHER_US = 3_000_000
"""What was written within this time of an object's making is its making, and no change."""


def introduced_by(facts: Facts, blamed: ObjectRef) -> Change | None:
    """Return the last change of what is to blame; None if nobody changed it since it was made."""
    changes = facts.changes(blamed)
    revisions = [one for one in changes if one.what.startswith("revision ")]
    if revisions:
        return revisions[-1]
    body = facts.get(blamed)
    made = micros(part(body or {}, "metadata").get("creationTimestamp"))
    later = [one for one in changes if made is None or one.at > made + TOGETHER_US]
    return later[-1] if later else None


def regression(facts: Facts, clue: Clue, blamed: ObjectRef) -> dict[str, str]:
    """Return which revision to go back to, if the newest one of a Deployment brought the cause."""
    body = facts.get(blamed)
    if body is None or blamed.kind != "Deployment" or clue.code in {"ScaledToZero", "RolloutPaused"}:
        return {}
    earlier, newest = facts.earlier(body), facts.newest(body)
    if earlier is None or newest is None or revision(earlier) == 0:
        return {}
    return {"regression": "true", "previousRevision": str(revision(earlier))}
