"""What an answer is worth: the exact set of root objects, the outcome, the evidence, the action."""

import re
from dataclasses import dataclass

from bench.scenarios.baseline import symptoms
from bench.scenarios.scenario import Scenario
from bench.scenarios.variants import Variant
from stellwerk.inquiry.linking.actions import suggested_action
from stellwerk.inquiry.model import Bundle, Conclusion, ObjectRef, Outcome

CAUSED = {Outcome.NO_WORKFLOW, Outcome.WORKFLOW_SELECTED}


@dataclass(frozen=True)
class Score:
    """One run."""

    scenario: str
    fault_class: str
    held_out: bool
    seed: int
    roots: bool
    outcome: bool
    evidence: bool
    action: bool
    accused: bool
    """Whether something was accused where nothing should be."""
    baseline: bool
    calls: int
    seconds: float
    confidence: float
    answer: str
    expected: str
    failed: str = ""

    @property
    def right(self) -> bool:
        """Whether roots and outcome are exactly what they should be."""
        return self.roots and self.outcome


def expected_roots(variant: Variant) -> set[tuple[str, str, str]]:
    """Return kind, namespace and name of each root; `Kind//name` is of the whole cluster."""
    found = set()
    for text in variant.scenario.roots:
        kind, *rest = variant.fill(text).split("/")
        namespace = variant.namespace if len(rest) == 1 else rest[0]
        found.add((kind, namespace, rest[-1]))
    return found


def score(variant: Variant, bundle: Bundle, conclusion: Conclusion) -> Score:
    """Compare an answer with what is expected."""
    scenario = variant.scenario
    expected = expected_roots(variant)
    named = {_plain(ref) for ref in conclusion.root_objects}
    outcome = "cause" if conclusion.outcome in CAUSED else str(conclusion.outcome)
    cited = {name for step in conclusion.causal_chain for name in step.evidence}
    texts = [one.excerpt for one in conclusion.evidence if one.id in cited]
    return Score(
        scenario=scenario.name,
        fault_class=scenario.fault_class,
        held_out=scenario.held_out,
        seed=variant.seed,
        roots=named == expected,
        outcome=outcome == scenario.outcome,
        evidence=not scenario.evidence or any(re.search(scenario.evidence, text) for text in texts),
        action=_fits(suggested_action(conclusion), scenario),
        accused=scenario.outcome != "cause" and bool(named),
        baseline={_plain(ref) for ref in symptoms(bundle)} == expected,
        calls=bundle.spent.calls,
        seconds=bundle.spent.seconds,
        confidence=conclusion.confidence,
        answer=f"{outcome}: {', '.join(sorted(str(ref) for ref in conclusion.root_objects))} "
        f"[{conclusion.cause}]",
        expected=f"{scenario.outcome}: {', '.join('/'.join(one) for one in sorted(expected))}",
    )


def missed(variant: Variant, why: str) -> Score:
    """Return the score of a run that could not be made."""
    scenario = variant.scenario
    return Score(
        scenario=scenario.name,
        fault_class=scenario.fault_class,
        held_out=scenario.held_out,
        seed=variant.seed,
        roots=False,
        outcome=False,
        evidence=False,
        action=False,
        accused=False,
        baseline=False,
        calls=0,
        seconds=0.0,
        confidence=0.0,
        answer="",
        expected="",
        failed=why,
    )


def _fits(action: str, scenario: Scenario) -> bool:
    if scenario.outcome == "cause" and not scenario.action:
        return bool(action)  # of several roots, each has its own
    return action == scenario.action


def _plain(ref: ObjectRef) -> tuple[str, str, str]:
    return ref.kind, ref.namespace, ref.name
