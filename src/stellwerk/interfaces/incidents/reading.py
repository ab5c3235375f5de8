"""From a request to what is to be investigated. Its texts are untrusted: they are kept, bounded, and prove
nothing."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from stellwerk.http.instants import microseconds
from stellwerk.inquiry.model import ObjectRef, Target
from stellwerk.inquiry.sessions.session import Opening, Signal
from stellwerk.interfaces.incidents.errors import malformed, validation
from stellwerk.interfaces.incidents.wire import IncidentRequest

TEXT = 16_384
"""Characters that are kept of a message."""
WORD = 500
LABELS = 60
SIGNAL_MODES = ("reactive", "proactive")
# What Kubernetes takes as a name, with room: what is longer is no object of a cluster.
LONGEST_NAME = 253


def opening_of(body: IncidentRequest) -> Opening:
    """Read a request. Raises Problem for what its types do not show."""
    _check(body)
    message = "\n".join(text for text in (body.error_message, body.description) if text)
    return Opening(
        target=Target(
            object=ObjectRef(
                body.resource_kind, body.resource_namespace, body.resource_name, body.resource_api_version
            ),
            signal=body.signal_name[:WORD],
            message=message[:TEXT],
            since=_instant(body.first_seen) or _instant(body.firing_time),
        ),
        signal=Signal(
            incident_id=body.incident_id[:WORD],
            remediation_id=body.remediation_id[:WORD],
            severity=body.severity,
            source=body.signal_source[:WORD],
            labels=_labels(body),
        ),
    )


def _check(body: IncidentRequest) -> None:
    if not body.remediation_id:
        raise validation("remediation_id is required (DD-WORKFLOW-002)")
    for name in ("incident_id", "resource_kind", "resource_name"):
        if not getattr(body, name):
            raise validation(f"{name} is required")
    for name in ("resource_kind", "resource_name", "resource_namespace", "resource_api_version"):
        value: str = getattr(body, name)
        if len(value) > LONGEST_NAME or not value.isprintable() or "/" in value.replace("/", "", 1):
            raise validation(f"{name} is no name of a cluster's object")
    if body.signal_mode is not None and body.signal_mode.lower() not in SIGNAL_MODES:
        raise malformed(f"Expected one of {', '.join(SIGNAL_MODES)} - at `$.signal_mode`")


def _labels(body: IncidentRequest) -> dict[str, str]:
    """Keep the business words, and the alert's own labels behind them."""
    words = {
        name: str(getattr(body, name))
        for name in ("environment", "priority", "risk_tolerance", "business_category", "cluster_name")
    }
    given: Mapping[str, str] = body.signal_labels or {}
    kept = {**{f"label:{name}": value for name, value in given.items()}, **words}
    return {name[:WORD]: value[:WORD] for name, value in list(kept.items())[-LABELS:]}


def _instant(text: str | None) -> int | None:
    """Read an instant; what is none counts as not given, for the contract calls it opaque."""
    try:
        return None if not text else microseconds(msgspec.convert(text, datetime))
    except msgspec.ValidationError:
        return None
