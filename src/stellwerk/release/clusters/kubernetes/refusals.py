"""What an answer of the API server means that is no success: pure rules over status and text.

The server says in a sentence what its status and reason do not tell: a quota, a policy and missing rights are
all `403 Forbidden`. The sentences are those of the sources of 1.20 to 1.33; one that is not known is
still a refusal, only a less exact one.
"""

import re
from collections.abc import Container
from typing import Any

import msgspec

from stellwerk.release.clusters.errors import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Gone,
    OwnedField,
    RefusalReason,
    Refused,
)

_OWNER = re.compile(r'conflict with "(?P<owner>[^"]*)"')
_ANY = range(400, 600)
_SENTENCES: tuple[tuple[RefusalReason, Container[int], re.Pattern[str]], ...] = (
    ("forbidden", {403}, re.compile(r" cannot \S+ resource ")),
    ("quota", {403}, re.compile(r"exceeded quota|failed quota|insufficient quota")),
    ("webhook", _ANY, re.compile(r"admission webhook|failed calling webhook")),
    ("namespace_terminating", {403, 409}, re.compile(r"is being terminated")),
    (
        "admission",
        {403},
        re.compile(
            r"violates podsecurity|podsecuritypolicy|validatingadmissionpolicy|serviceaccount"
            r"|(max|min)imum \S+ usage|not whitelisted|node selector|priorityclass"
        ),
    ),
    (
        "immutable",
        {403, 422},
        re.compile(
            r"immutable|updates to \S+ (spec )?(for fields other than|are forbidden)"
            r"|may not change fields|cannot change roleref|may not change once set"
        ),
    ),
)
"""In the order in which they are looked for, with the statuses that they come with."""
_BY_STATUS: dict[int, RefusalReason] = {401: "unauthorized", 403: "forbidden", 409: "raced", 413: "too_large"}
TEMPORARY = frozenset({429, 500, 502, 503, 504})
_NO_OBJECT = b"failed to create typed "
"""What an apply of a text is answered with that is no object of its kind: a field that there is none of, a
list's item without what names it. The server says 500, and will again."""


def failure_of(status: int, body: bytes, what: str, retry_after_s: float | None = None) -> ClusterError:
    """Return what an answer means that is no success; `what`: the object or the call, for the message."""
    text = _text(body)
    message = str(text.get("message") or body[:300].decode(errors="replace").strip() or f"HTTP {status}")
    details: Any = text.get("details") or {}
    causes: list[Any] = details.get("causes") or []
    fields = [_owned(one) for one in causes if one.get("reason") == "FieldManagerConflict"]
    if fields:
        return Conflict(fields)
    if status == 404:
        if details.get("kind") == "namespaces":
            return Refused("namespace_missing", message, status)
        return Gone(what)
    reason = _reason(status, message, causes)
    if is_temporary(status, body) and reason != "webhook":
        wait_s = (
            retry_after_s if retry_after_s is not None else float(details.get("retryAfterSeconds") or 5.0)
        )
        return ClusterUnavailable(f"{what}: {message}", wait_s)
    return Refused(reason, message, status)


def is_temporary(status: int, body: bytes) -> bool:
    """Whether the same may succeed later, without anybody doing anything."""
    return status in TEMPORARY and _NO_OBJECT not in body


def is_race(status: int, body: bytes) -> bool:
    """Whether only somebody else was faster, and another try may succeed.

    Not where another manager's fields are in the way, or where the object is another one than was meant.
    """
    return status == 409 and b"FieldManagerConflict" not in body and b"recondition" not in body


def _reason(status: int, message: str, causes: list[Any]) -> RefusalReason:
    if any(one.get("reason") == "NamespaceTerminating" for one in causes):
        return "namespace_terminating"
    folded = message.lower()
    for reason, statuses, sentence in _SENTENCES:
        if status in statuses and sentence.search(folded):
            return reason
    return _BY_STATUS.get(status, "invalid")


def _owned(cause: dict[str, Any]) -> OwnedField:
    message = str(cause.get("message", ""))
    found = _OWNER.search(message)
    return OwnedField(found["owner"] if found else message, str(cause.get("field", "")))


def _text(body: bytes) -> dict[str, Any]:
    """Return the server's `Status`; what is none of it (a proxy's page) counts as empty."""
    try:
        text = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return text if isinstance(text, dict) and text.get("kind") == "Status" else {}
