"""What remedies tell the journal; the session's id is their `task`, as it is of the session's own events."""

from typing import Any, Final

import msgspec

from stellwerk.inquiry.remedies.remedy import Remedy, RemedyState
from stellwerk.journal.event import Event, Retention

_KINDS: Final = {
    RemedyState.WAITING: "requested",
    RemedyState.APPROVED: "approved",
    RemedyState.RUNNING: "started",
    RemedyState.VERIFYING: "carried_out",
    RemedyState.SUCCEEDED: "finished",
    RemedyState.FAILED: "finished",
    RemedyState.REJECTED: "rejected",
    RemedyState.EXPIRED: "expired",
}


def moved(remedy: Remedy, by: str | None = None) -> Event:
    """Say where a remedy is now; `by`: who moved it, if it was somebody else than who asked."""
    return _event(_KINDS[remedy.state], remedy, by)


def requested(remedy: Remedy) -> Event:
    """Say that somebody asked for a remedy."""
    return _event("requested", remedy, None)


def _event(word: str, remedy: Remedy, by: str | None) -> Event:
    data: dict[str, Any] = {
        "remedy_id": remedy.id,
        "session_id": remedy.session,
        "workflow_id": remedy.choice.workflow_id,
        "action_type": remedy.choice.action_type,
        "target": str(remedy.target),
        "environment": remedy.environment,
        "state": remedy.state.value,
        "needs_approval": remedy.needs_approval,
        "operation": remedy.operation,
        "message": remedy.message[:500],
        "healthy": remedy.healthy,
    }
    return Event(
        f"incident.remedy.{word}",
        Retention.AUDIT,
        task=remedy.session,
        principal=by or remedy.by,
        data=msgspec.json.encode(data).decode(),
    )
