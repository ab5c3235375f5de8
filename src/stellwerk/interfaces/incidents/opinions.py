"""What a model said, as the interface shows it: beside what is proven, and never as if it were."""

from collections.abc import Sequence

from stellwerk.inquiry.model import Conclusion, Evidence
from stellwerk.inquiry.reasoning.opinion import Opinion, Usage, Verdict
from stellwerk.inquiry.sessions.session import Session
from stellwerk.interfaces.incidents import wire
from stellwerk.interfaces.incidents.references import reference


def shown(session: Session) -> wire.ModelOpinion | None:
    """Show the opinion; None where no model was asked."""
    opinion, advice, usage = session.opinion, session.advice, session.usage or Usage()
    if opinion is None:
        return None
    return wire.ModelOpinion(
        provider=opinion.provider,
        model=opinion.model,
        verdict=opinion.verdict.value,
        summary=opinion.summary or None,
        root_objects=[reference(one) for one in opinion.root_objects],
        cause=opinion.cause,
        confidence=opinion.confidence,
        claims=[
            wire.ModelClaim(text=one.text, evidence=list(one.evidence), supported=one.supported)
            for one in opinion.claims
        ],
        hypotheses=[
            wire.ModelHypothesis(
                summary=one.summary,
                likelihood=one.likelihood,
                evidence=list(one.evidence),
                supported=one.supported,
            )
            for one in opinion.hypotheses
        ],
        workflow_id=None if advice is None else advice.workflow_id,
        rationale=None if advice is None else advice.rationale or None,
        notes=[*opinion.notes, *(advice.notes if advice else ())],
        requests=usage.requests,
        tool_calls=usage.tool_calls,
        total_prompt_tokens=usage.prompt_tokens,
        total_completion_tokens=usage.completion_tokens,
        seconds=usage.seconds,
        cost=session.cost,
    )


def warnings(session: Session) -> list[str]:
    """Say what a reader must not overlook of the model's part."""
    opinion, advice = session.opinion, session.advice
    if opinion is None:
        return []
    found = _of_verdict(opinion)
    found += [f"Unsupported claim of the model: {one.text}" for one in opinion.claims if not one.supported]
    if advice is not None and advice.against:
        found.append(f"The model advises against every remedy that fits: {advice.rationale}")
    chosen = session.chosen.choice if session.chosen else None
    if advice is not None and advice.workflow_id and chosen and advice.workflow_id != chosen.workflow_id:
        found.append(f"The model prefers the riskier workflow {advice.workflow_id}: {advice.rationale}")
    return found


def evidence(session: Session, conclusion: Conclusion) -> Sequence[Evidence]:
    """List the evidence of the conclusion, and what the model's tools read."""
    more = session.opinion.evidence if session.opinion else ()
    return list({one.id: one for one in (*conclusion.evidence, *more)}.values())


def _of_verdict(opinion: Opinion) -> list[str]:
    match opinion.verdict:
        case Verdict.AGREES:
            return []
        case Verdict.DISAGREES:
            return [f"The model disagrees with what is proven: {opinion.summary}"]
        case Verdict.FURTHER:
            return ["The root is what a model says; objects, events and logs do not prove it"]
        case Verdict.UNSUPPORTED:
            return [f"The model names a cause that no evidence supports: {opinion.summary}"]
        case Verdict.NONE:
            return [f"The model gave no opinion: {'; '.join(opinion.notes) or 'no answer'}"]
