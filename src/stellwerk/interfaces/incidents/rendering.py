"""Sessions as the interface shows them."""

from typing import get_args

from stellwerk.http.instants import iso, iso_or_none
from stellwerk.inquiry.model import Change, Conclusion, Outcome
from stellwerk.inquiry.reasoning.opinion import Usage
from stellwerk.inquiry.remedies.choice import Choice
from stellwerk.inquiry.sessions.session import Phase, Session, SessionState
from stellwerk.interfaces.incidents import opinions, wire
from stellwerk.interfaces.incidents.references import reference

ENGINE = "stellwerk"
PHASES = {
    Phase.COLLECT: "rca",
    Phase.CONCLUDE: "rca",
    Phase.REASON: "rca",
    Phase.CHOOSE: "workflow_discovery",
    Phase.ADVISE: "workflow_discovery",
    Phase.DONE: "done",
}
"""Ours, in the published words."""
ACTIONABLE = {
    Outcome.WORKFLOW_SELECTED: True,
    Outcome.NO_WORKFLOW: False,
    Outcome.NOT_ACTIONABLE: False,
    Outcome.RESOLVED: False,
    Outcome.INCONCLUSIVE: None,
}
REVIEW: dict[Outcome, wire.HumanReviewReason] = {
    Outcome.NO_WORKFLOW: "no_matching_workflows",
    Outcome.INCONCLUSIVE: "investigation_inconclusive",
}
SEVERITIES = frozenset(get_args(wire.Severity))


def status(session: Session) -> wire.SessionStatus:
    """Show where a session is."""
    shown = wire.SessionStatus(
        session_id=session.id,
        status=session.state.value,
        progress=session.progress,
        phase=PHASES[session.phase],
        created_at=iso(session.requested_at),
        acting_user=session.by,
    )
    if session.error:
        shown.error = session.error
    return shown


def listed(session: Session) -> wire.ListedSession:
    """Show a session in a list."""
    target, conclusion = session.target.object, session.conclusion
    shown = wire.ListedSession(
        session_id=session.id,
        status=session.state.value,
        progress=session.progress,
        phase=PHASES[session.phase],
        created_at=iso(session.requested_at),
        incident_id=session.signal.incident_id,
        signal_name=session.target.signal,
        resource_kind=target.kind,
        resource_namespace=target.namespace,
        resource_name=target.name,
        automatic=session.automatic,
        finished_at=iso_or_none(session.finished_at),
        investigation_outcome=None if conclusion is None else conclusion.outcome.value,
        root_cause=None if conclusion is None else conclusion.summary,
    )
    if session.error:
        shown.error = session.error
    return shown


def snapshot(session: Session) -> wire.SessionSnapshot:
    """Show what is left of a session that has ended."""
    cancelled = session.state is SessionState.CANCELLED
    target, signal, usage = session.target, session.signal, session.usage or Usage()
    return wire.SessionSnapshot(
        session_id=session.id,
        status=session.state.value,
        created_at=iso(session.requested_at),
        metadata={
            "incident_id": signal.incident_id,
            "remediation_id": signal.remediation_id,
            "signal_name": target.signal,
            "severity": signal.severity,
            "created_by": session.by,
        },
        error=session.error,
        cancelled_phase=PHASES[session.phase] if cancelled else None,
        cancelled_at_turn=usage.requests if cancelled else None,
        rca_summary=None if session.conclusion is None else session.conclusion.summary,
        total_prompt_tokens=usage.prompt_tokens,
        total_completion_tokens=usage.completion_tokens,
    )


def result(session: Session, conclusion: Conclusion) -> wire.IncidentResponse:
    """Show the result, under the document's names and the published program's."""
    chosen, outcome = session.chosen, conclusion.outcome
    choice = chosen.choice if chosen else None
    reason = "low_confidence" if conclusion.by_model else REVIEW.get(outcome)
    actionable = ACTIONABLE[outcome]
    target = conclusion.remediation_target
    return wire.IncidentResponse(
        incident_id=session.signal.incident_id,
        analysis=conclusion.summary,
        root_cause=conclusion.summary,
        root_cause_analysis=_analysis(session, conclusion),
        investigation_outcome=outcome.value,
        confidence=round(min(1.0, max(0.0, conclusion.confidence)), 3),
        actionable=actionable,
        is_actionable=actionable,
        selected_workflow=None if choice is None else workflow(choice),
        remediation_target=None if target is None else reference(target),
        detected_labels=conclusion.detected_labels or None,
        needs_human_review=reason is not None,
        human_review_reason=reason,
        warnings=[*_warnings(conclusion, reason), *opinions.warnings(session)],
        alternative_workflows=[
            wire.AlternativeWorkflow(
                workflow_id=one.workflow_id, confidence=one.confidence, rationale=one.rationale
            )
            for one in (chosen.alternatives if chosen else ())
        ],
        validation_attempts_history=[
            wire.ValidationAttempt(
                attempt=number,
                is_valid=not one.errors,
                timestamp=iso(one.at),
                workflow_id=one.workflow_id,
                errors=list(one.errors),
            )
            for number, one in enumerate(chosen.checked if chosen else (), 1)
        ],
        alignment_verdict=None,
        model_opinion=opinions.shown(session),
        timestamp=f"{iso(session.finished_at or session.requested_at)[:19]}Z",
    )


def _analysis(session: Session, conclusion: Conclusion) -> wire.RootCauseAnalysis:
    target = conclusion.remediation_target
    return wire.RootCauseAnalysis(
        summary=conclusion.summary,
        severity=session.signal.severity if session.signal.severity in SEVERITIES else "unknown",
        signal_name=session.target.signal,
        cause=conclusion.cause,
        root_objects=[reference(one) for one in conclusion.root_objects],
        causal_chain=[
            wire.CausalStep(
                summary=one.summary,
                resource=reference(one.object),
                evidence=list(one.evidence),
                code=one.code,
            )
            for one in conclusion.causal_chain
        ],
        contributing_factors=list(conclusion.contributing_factors),
        remediationTarget=None if target is None else reference(target),
        introduced_by=_introduced(conclusion.introduced_by),
        findings=[
            wire.FindingItem(
                code=one.code,
                severity=one.severity,
                resource=reference(one.object),
                summary=one.summary,
                evidence=list(one.evidence),
            )
            for one in conclusion.findings
        ],
        evidence=[
            wire.EvidenceItem(
                id=one.id,
                source=one.source,
                resource=reference(one.object),
                excerpt=one.excerpt,
                at=iso_or_none(one.at),
            )
            for one in opinions.evidence(session, conclusion)
        ],
        missing=list(conclusion.missing),
    )


def _introduced(change: Change | None) -> wire.IntroducedBy | None:
    if change is None:
        return None
    return wire.IntroducedBy(
        resource=reference(change.object),
        at=iso(change.at),
        by=change.by,
        what=change.what,
        release=change.release,
    )


def workflow(choice: Choice) -> wire.SelectedWorkflow:
    """Show a chosen workflow."""
    return wire.SelectedWorkflow(
        workflow_id=choice.workflow_id,
        name=choice.name,
        workflow_name=choice.name,
        version=choice.version,
        action_type=choice.action_type,
        execution_engine=ENGINE,
        confidence=choice.confidence,
        risk=choice.risk,
        rationale=choice.rationale,
        parameters=choice.parameters,
    )


def _warnings(conclusion: Conclusion, reason: wire.HumanReviewReason | None) -> list[str]:
    """Say what a reader must not overlook, in the published words where there are any."""
    found = [f"Not known: {one}" for one in conclusion.missing]
    if conclusion.outcome is Outcome.NOT_ACTIONABLE:
        found.append("Alert not actionable — no remediation warranted")
    if conclusion.outcome is Outcome.RESOLVED:
        found.append(f"Problem self-resolved: {conclusion.summary}")
    if reason is not None and not found:
        found.append(f"Human review required: {reason}")
    return found
