"""From a bundle to its conclusion: pure, and the same every time."""

from collections.abc import Sequence

from stellwerk.inquiry.analyzers import clues
from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.facts.aiming import aims
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.linking import confidence
from stellwerk.inquiry.linking.citing import Citations
from stellwerk.inquiry.linking.introducing import introduced_by, regression
from stellwerk.inquiry.linking.labels import detected_labels
from stellwerk.inquiry.linking.passing import latest, past_trouble
from stellwerk.inquiry.linking.suspecting import suspicions
from stellwerk.inquiry.linking.tracing import Root, Trace
from stellwerk.inquiry.model import Bundle, CausalStep, Conclusion, Gap, ObjectRef, Outcome

NEEDED = frozenset({"Pod", "Event", "Deployment", "ReplicaSet", "StatefulSet", "Service", "Endpoints"})
"""Kinds without which health cannot be told."""
SYMPTOMS = ("RolloutStuck", "ReplicasUnavailable", "JobFailed", "PodNotReady", "NoReadyEndpoints")
"""What is noticed first, and begins a chain."""
MOST_FACTORS = 4


def conclude(bundle: Bundle) -> Conclusion:
    """Draw the conclusion of a bundle; see `Detective.conclude`."""
    return _Case(bundle).conclude()


class _Case:
    """One bundle under judgement."""

    def __init__(self, bundle: Bundle) -> None:
        self.facts = Facts(bundle)
        self.found = clues(self.facts)
        self.trace = Trace(self.facts, self.found)
        self.cited = Citations(self.facts)
        self.gaps = [gap for gap in bundle.gaps if _matters(gap, bundle.target.object)]
        self.missing = tuple(
            dict.fromkeys(f"{gap.what}: {gap.why}" for gap in bundle.gaps if gap.why != "gone")
        )

    def conclude(self) -> Conclusion:
        targets = aims(self.facts, self.facts.bundle.target)
        if not targets:
            return self._unfound()
        unit = self.facts.unit(targets[0])
        roots = self.trace.roots(unit)
        if roots and confidence.of_roots(roots, self.gaps) >= confidence.PROVEN:
            return self._caused(unit, roots)
        if self.trace.of(unit):
            return self._unexplained(unit)
        if unseen := [gap for gap in self.gaps if gap.object and gap.object.kind in NEEDED]:
            what = ", ".join(dict.fromkeys(gap.what for gap in unseen))
            return self._open(unit, f"Whether {unit} is well cannot be told: {what} could not be read.")
        return self._well(unit)

    def _caused(self, unit: ObjectRef, roots: Sequence[Root]) -> Conclusion:
        first = roots[0]
        also = [f"{root.blamed}: {root.clue.summary}" for root in roots[1:]]
        summary = _sentence(first.clue.summary)
        if first.blamed != unit:
            summary += f"; this is the cause of the trouble of {unit}"
        return Conclusion(
            outcome=Outcome.NO_WORKFLOW,
            summary=summary + "." + (f" Besides: {'; '.join(also)}." if also else ""),
            confidence=confidence.of_roots(roots, self.gaps),
            cause=first.clue.code,
            root_objects=tuple(self.cited.full(root.blamed) for root in roots),
            causal_chain=tuple(self.cited.step(clue) for clue in self._chain(unit, roots)),
            contributing_factors=(*also, *self._factors(unit, first), *suspicions(self.facts)),
            remediation_target=self.cited.full(first.blamed),
            facts=first.clue.facts | regression(self.facts, first.clue, first.blamed),
            introduced_by=introduced_by(self.facts, first.blamed),
            findings=tuple(self.cited.finding(clue) for clue in self.found),
            evidence=self.cited.all(),
            missing=self.missing,
            detected_labels=detected_labels(self.facts, unit),
        )

    def _chain(self, unit: ObjectRef, roots: Sequence[Root]) -> list[Clue]:
        """Begin with what was noticed at the target, and end with the first root; the others come before."""
        paths = [clue for root in reversed(roots) for clue in root.path]
        own = [clue for clue in self.trace.of(unit) if clue.role == "effect" and clue not in paths]
        noticed = [clue for code in SYMPTOMS for clue in own if clue.code == code][:1]
        backwards: dict[int, Clue] = {id(clue): clue for clue in reversed([*noticed, *paths])}
        return list(reversed(backwards.values()))

    def _factors(self, unit: ObjectRef, root: Root) -> list[str]:
        others = [clue for clue in self.trace.of(unit) if clue not in root.path and clue.role == "effect"]
        return [f"{clue.code}: {clue.summary}" for clue in others[:MOST_FACTORS]]

    def _unexplained(self, unit: ObjectRef) -> Conclusion:
        own = max(self.trace.of(unit), key=lambda clue: clue.strength)
        silent = own.code in {"ProgramCrashed", "InitContainerFailed"} and not own.facts.get("telling")
        if silent:
            self.missing += (f"why {own.facts.get('container')} ends: it writes no log that tells",)
        elif not self.missing:
            self.missing = (f"what keeps {unit} from being ready: neither events nor logs tell",)
        summary = f"{_sentence(own.summary)}; what could be seen does not prove why."
        return self._open(unit, summary, [own])

    def _unfound(self) -> Conclusion:
        wanted = self.facts.bundle.target.object
        absent = self.facts.absent(wanted)
        self.missing = self.missing or (f"{wanted}: it is not there",)
        state = "is not there" if absent else "could not be read"
        return self._open(wanted, f"{wanted} {state}, so nothing is proven about it.")

    def _open(self, unit: ObjectRef, summary: str, chain: Sequence[Clue] = ()) -> Conclusion:
        return Conclusion(
            outcome=Outcome.INCONCLUSIVE,
            summary=summary,
            confidence=confidence.UNKNOWN,
            causal_chain=tuple(self.cited.step(clue) for clue in chain),
            contributing_factors=tuple(suspicions(self.facts)),
            findings=tuple(self.cited.finding(clue) for clue in self.found),
            evidence=self.cited.all(),
            missing=self.missing,
            detected_labels=detected_labels(self.facts, unit),
        )

    def _well(self, unit: ObjectRef) -> Conclusion:
        past = past_trouble(self.facts, unit)
        last = latest(past)
        if last is None:
            outcome, chain = Outcome.NOT_ACTIONABLE, tuple[CausalStep, ...]()
            summary = f"{unit} is well: nothing is wrong with it or with what it needs."
        else:
            outcome = Outcome.RESOLVED
            step = CausalStep(
                summary=last.excerpt, object=self.cited.full(last.object), evidence=self.cited.cite(past[-4:])
            )
            chain = (step,)
            summary = f"{unit} is well; it was not before: {last.excerpt}."
        worth = confidence.OVER if last else confidence.WELL
        return Conclusion(
            outcome=outcome,
            summary=summary,
            confidence=round(worth * confidence.of_gaps(self.gaps), 2),
            causal_chain=chain,
            contributing_factors=tuple(suspicions(self.facts)),
            findings=tuple(self.cited.finding(clue) for clue in self.found),
            evidence=self.cited.all(),
            missing=self.missing,
            detected_labels=detected_labels(self.facts, unit),
        )


def _matters(gap: Gap, target: ObjectRef) -> bool:
    """Whether a gap could have changed the answer: a log, or a kind that health depends on."""
    if gap.why == "gone":
        return False
    return gap.object is None or gap.object.kind in NEEDED or gap.object == target


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
