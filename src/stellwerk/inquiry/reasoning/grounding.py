"""What a model's answer is worth: a pure rule over what it says, what is proven, and what was seen.

A claim is supported if it cites evidence that is there and speaks of the same: a word of it, four letters or
more, or a number, is in what was seen. That is no proof; it tells apart what was read from what was made up.
What is proven is never replaced by what a model says. Only where nothing was proven, and everything that
leads to the root is supported, the model's root is taken, marked and with little confidence.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from stellwerk.inquiry.model import (
    Bundle,
    CausalStep,
    Conclusion,
    Evidence,
    Finding,
    ObjectRef,
    Outcome,
)
from stellwerk.inquiry.reasoning.answers import CauseAnswer
from stellwerk.inquiry.reasoning.opinion import Claim, Hypothesis, Opinion, Verdict
from stellwerk.release.conditions import part

MOST_CONFIDENT = 0.6
"""Of a root that only a model names: below what remedies are trusted with."""
_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,}|\d{2,}")
_PLAIN = frozenset(
    {"this", "that", "with", "from", "have", "been", "which", "because", "cause", "caused", "root", "pods"}
    | {"container", "object", "evidence", "error", "failed", "fails", "failing", "failure", "deployment"}
    | {"service", "kubernetes", "cluster", "namespace", "running", "status", "could", "cannot"}
)
"""Words of every answer, which show nothing."""


def opinion_of(
    answer: CauseAnswer,
    conclusion: Conclusion,
    *,
    known: frozenset[ObjectRef],
    texts: Mapping[str, str],
    blank: Opinion,
) -> Opinion:
    """Judge an answer.

    `known`: objects that were seen, or that findings name; `texts`: of evidence, by id.
    """
    claims = tuple(
        Claim(text=text, evidence=_known(ids, texts), supported=_supported(text, ids, texts))
        for text, ids in answer.claims
    )
    hypotheses = tuple(
        Hypothesis(
            summary=text,
            likelihood=likelihood,
            evidence=_known(ids, texts),
            supported=_supported(text, ids, texts),
        )
        for text, likelihood, ids in answer.hypotheses
    )
    cause = _finding(conclusion.findings, answer.cause, answer.root_objects)
    said = replace(
        blank,
        summary=answer.summary,
        root_objects=answer.root_objects,
        cause="" if cause is None else cause.code,
        confidence=answer.confidence,
        healthy=answer.outcome == "healthy",
        claims=claims,
        hypotheses=hypotheses,
    )
    return replace(said, verdict=_verdict(said, answer.outcome, conclusion, known))


def known_objects(bundle: Bundle, conclusion: Conclusion) -> frozenset[ObjectRef]:
    """List the objects that were seen, and those that findings name because they are not there."""
    seen = [
        ObjectRef(
            str(body.get("kind")),
            str(part(body, "metadata").get("namespace") or ""),
            str(part(body, "metadata").get("name")),
        )
        for body in bundle.objects
    ]
    spoken = [one.object for one in conclusion.findings]
    spoken += [one.object for one in conclusion.causal_chain]
    return frozenset(map(_bare, (*seen, *spoken, *conclusion.root_objects)))


def with_opinion(conclusion: Conclusion, opinion: Opinion) -> Conclusion:
    """Return the conclusion in view of an opinion; it changes only where the model goes further."""
    if opinion.verdict is not Verdict.FURTHER:
        return conclusion
    evidence = {one.id: one for one in (*conclusion.evidence, *opinion.evidence)}
    root = opinion.root_objects[0]
    finding = _finding(conclusion.findings, opinion.cause, opinion.root_objects)
    return replace(
        conclusion,
        outcome=Outcome.NO_WORKFLOW,
        summary=f"Not proven; the model concludes: {opinion.summary}",
        confidence=min(MOST_CONFIDENT, opinion.confidence),
        cause="" if finding is None else finding.code,
        root_objects=opinion.root_objects,
        causal_chain=tuple(_step(claim, evidence, root) for claim in opinion.claims),
        remediation_target=root,
        facts={} if finding is None else finding.facts,
        evidence=tuple(evidence.values()),
        by_model=True,
    )


def _verdict(said: Opinion, outcome: str, conclusion: Conclusion, known: frozenset[ObjectRef]) -> Verdict:
    roots = {_bare(one) for one in said.root_objects}
    match conclusion.outcome:
        case Outcome.NO_WORKFLOW | Outcome.WORKFLOW_SELECTED:
            same = outcome == "cause_found" and roots == {_bare(one) for one in conclusion.root_objects}
            return Verdict.AGREES if same else Verdict.DISAGREES
        case Outcome.NOT_ACTIONABLE | Outcome.RESOLVED:
            return Verdict.AGREES if outcome == "healthy" else Verdict.DISAGREES
        case Outcome.INCONCLUSIVE:
            if outcome == "unknown":
                return Verdict.AGREES
            if outcome == "healthy":
                return Verdict.DISAGREES
            grounded = bool(said.claims) and all(claim.supported for claim in said.claims)
            return Verdict.FURTHER if grounded and roots <= known else Verdict.UNSUPPORTED


def _finding(findings: Sequence[Finding], code: str, roots: Iterable[ObjectRef]) -> Finding | None:
    """Return the proven finding that a model calls the cause: of that code, about one of its roots."""
    return next(
        (one for one in findings if one.code == code and any(_is_of(one.object, root) for root in roots)),
        None,
    )


def _is_of(ref: ObjectRef, root: ObjectRef) -> bool:
    """Whether an object is the root, or a pod that is named after it."""
    ours = ref.kind == "Pod" and ref.namespace == root.namespace and ref.name.startswith(f"{root.name}-")
    return ours or _bare(ref) == _bare(root)


def _step(claim: Claim, evidence: Mapping[str, Evidence], root: ObjectRef) -> CausalStep:
    about = evidence[claim.evidence[0]].object if claim.evidence else root
    return CausalStep(summary=claim.text, object=about, evidence=claim.evidence)


def _supported(text: str, ids: Sequence[str], texts: Mapping[str, str]) -> bool:
    seen = " ".join(texts[one] for one in ids if one in texts).lower()
    words = {word.lower() for word in _WORDS.findall(text)} - _PLAIN
    return bool(seen) and all(one in texts for one in ids) and any(word in seen for word in words)


def _known(ids: Sequence[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(one for one in ids if one in texts)


def _bare(ref: ObjectRef) -> ObjectRef:
    return ref._replace(api_version="")
