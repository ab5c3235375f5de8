"""What sessions tell the journal, under the published names of audit events.

Every event has the session's id as its `task`, so that one session can be followed. The model's totals are
zero where there was no model. What it is asked and answers is told in previews, as masked as it went out.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from stellwerk.clock import MICROSECONDS
from stellwerk.inquiry.evidence.masking import mask_text
from stellwerk.inquiry.model import Bundle, Conclusion
from stellwerk.inquiry.owners import owner_chain, root_owner
from stellwerk.inquiry.reasoning.opinion import Usage
from stellwerk.inquiry.remedies.choice import Chosen
from stellwerk.inquiry.sessions.session import Session
from stellwerk.journal.event import Event, Retention

STARTED: Final = "aiagent.session.started"
PROGRESS: Final = "aiagent.session.progress"
ENRICHED: Final = "aiagent.enrichment.completed"
UNENRICHED: Final = "aiagent.enrichment.failed"
LLM_REQUEST: Final = "aiagent.llm.request"
LLM_RESPONSE: Final = "aiagent.llm.response"
LLM_TOOL_CALL: Final = "aiagent.llm.tool_call"
VALIDATED: Final = "aiagent.workflow.validation_attempt"
CAUSE_FOUND: Final = "aiagent.rca.complete"
RESPONDED: Final = "aiagent.response.complete"
UNRESPONDED: Final = "aiagent.response.failed"
COMPLETED: Final = "aiagent.session.completed"
FAILED: Final = "aiagent.session.failed"
CANCELLED: Final = "aiagent.session.cancelled"
ACCESS_DENIED: Final = "aiagent.session.access_denied"
ENDS = frozenset({COMPLETED, FAILED, CANCELLED})

PREVIEW = 500
"""Longest preview, as published."""
LONGEST_TOOL_RESULT = 2_000
_OF_MODEL = {"request": LLM_REQUEST, "response": LLM_RESPONSE, "tool_call": LLM_TOOL_CALL}


def started(session: Session) -> Event:
    """Say that somebody asked for an investigation."""
    return _event(session, STARTED, {"signal_name": session.target.signal, "target": _target(session)})


def progress(session: Session, lines: Sequence[str]) -> list[Event]:
    """Say what is being done."""
    return [
        _event(session, PROGRESS, {"progress": line, "phase": session.phase.value}, Retention.TASK)
        for line in lines
    ]


def enriched(session: Session, bundle: Bundle) -> Event:
    """Say what was collected."""
    root = root_owner(bundle)
    return _event(
        session,
        ENRICHED,
        {
            "root_owner_kind": root.kind,
            "root_owner_name": root.name,
            "root_owner_namespace": root.namespace,
            "owner_chain_length": len(owner_chain(bundle)),
            "remediation_history_fetched": True,
            "objects": len(bundle.objects),
            "logs": len(bundle.logs),
            "gaps": len(bundle.gaps),
            "calls": bundle.spent.calls,
            "seconds": round(bundle.spent.seconds, 3),
        },
    )


def unenriched(session: Session, reason: str, detail: str) -> Event:
    """Say that nothing could be collected."""
    kind, namespace, name, _ = session.target.object
    affected = {
        "affected_resource_kind": kind,
        "affected_resource_name": name,
        "affected_resource_namespace": namespace,
    }
    return _event(session, UNENRICHED, {"reason": reason, "detail": detail[:PREVIEW], **affected})


def cause_found(session: Session, conclusion: Conclusion) -> Event:
    """Say what was concluded."""
    return _event(session, CAUSE_FOUND, {"response_data": _concluded(conclusion), **_tokens(session)})


def of_model(session: Session, what: str, data: Mapping[str, Any]) -> Event:
    """Tell of a `request`, a `response` or a `tool_call` of the model."""
    told = {
        name: value[:PREVIEW] if name.endswith("_preview") and isinstance(value, str) else value
        for name, value in data.items()
    }
    if "tool_result" in told:
        result = mask_text(str(told["tool_result"]))
        told |= {"tool_result": result[:LONGEST_TOOL_RESULT], "tool_result_preview": result[:PREVIEW]}
    if "analysis_preview" in told:
        told["analysis_preview"] = mask_text(told["analysis_preview"])
    return _event(session, _OF_MODEL[what], {**told, "phase": session.phase.value})


def validated(session: Session, chosen: Chosen) -> list[Event]:
    """Say which workflows were looked at, and what stood against them."""
    last = len(chosen.checked)
    return [
        _event(
            session,
            VALIDATED,
            {
                "attempt": number,
                "max_attempts": last,
                "is_valid": not one.errors,
                "errors": list(one.errors),
                "workflow_id": one.workflow_id,
                "is_final_attempt": number == last,
            },
        )
        for number, one in enumerate(chosen.checked, 1)
    ]


def completed(session: Session) -> list[Event]:
    """Say that an investigation has its result."""
    answer: dict[str, Any] = {} if session.conclusion is None else _concluded(session.conclusion)
    choice = session.chosen.choice if session.chosen else None
    answer["selectedWorkflow"] = None if choice is None else choice.workflow_id
    return [
        _event(session, RESPONDED, {"response_data": answer, **_tokens(session), "cost": session.cost}),
        _event(session, COMPLETED, {"duration_seconds": _seconds(session), "outcome": answer.get("outcome")}),
    ]


def failed(session: Session) -> list[Event]:
    """Say that an investigation came to no result."""
    more = {
        "error_message": session.error or "",
        "phase": session.phase.value,
        "duration_seconds": _seconds(session),
    }
    return [_event(session, UNRESPONDED, more), _event(session, FAILED, more)]


def cancelled(session: Session) -> Event:
    """Say that somebody ended an investigation."""
    return _event(session, CANCELLED, {"phase": session.phase.value, "by": session.cancelled_by})


def access_denied(session: Session, principal: str) -> Event:
    """Say that somebody asked for a session that is not shown to them."""
    event = _event(session, ACCESS_DENIED, {})
    return msgspec.structs.replace(event, principal=principal)


def _event(
    session: Session, kind: str, more: Mapping[str, Any], retention: Retention = Retention.AUDIT
) -> Event:
    data = {
        "event_type": kind,
        "event_id": secrets.token_hex(16),
        "incident_id": session.signal.incident_id,
        "session_id": session.id,
        "correlation_id": session.signal.remediation_id,
        "event_category": "aiagent",
        "version": "1.0",
        **more,
    }
    return Event(
        kind,
        retention,
        task=session.id,
        principal=session.by,
        data=msgspec.json.encode(data).decode(),
    )


def _concluded(conclusion: Conclusion) -> dict[str, Any]:
    target = conclusion.remediation_target
    return {
        "outcome": conclusion.outcome.value,
        "cause": conclusion.cause,
        "analysis": conclusion.summary[:PREVIEW],
        "confidence": conclusion.confidence,
        "rootObjects": [str(one) for one in conclusion.root_objects[:20]],
        "remediationTarget": None if target is None else str(target),
    }


def _tokens(session: Session) -> dict[str, int]:
    usage = session.usage or Usage()
    return {
        "total_prompt_tokens": usage.prompt_tokens,
        "total_completion_tokens": usage.completion_tokens,
    }


def _target(session: Session) -> str:
    return str(session.target.object)


def _seconds(session: Session) -> float:
    begun = session.started_at or session.requested_at
    return round(((session.finished_at or begun) - begun) / MICROSECONDS, 3)
