"""Clues and what was seen, as the words of the answer; the same evidence has one id."""

from collections.abc import Iterable, Mapping
from typing import Literal

from stellwerk.inquiry.analyzers.clue import Clue, Role, Seen
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import in_full
from stellwerk.inquiry.model import CausalStep, Evidence, Finding, ObjectRef

_SEVERITY: Mapping[Role, Literal["critical", "warning", "info"]] = {
    "cause": "critical",
    "effect": "warning",
    "note": "info",
}


class Citations:
    """The evidence of one answer."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._ids: dict[Seen, str] = {}

    def cite(self, seen: Iterable[Seen]) -> tuple[str, ...]:
        """Return the ids of what was seen."""
        return tuple(self._ids.setdefault(one, f"e{len(self._ids) + 1}") for one in seen)

    def step(self, clue: Clue) -> CausalStep:
        """Tell a clue as a link of the chain."""
        return CausalStep(
            summary=clue.summary, object=self.full(clue.object), evidence=self.cite(clue.seen), code=clue.code
        )

    def finding(self, clue: Clue) -> Finding:
        """Tell a clue as a finding."""
        return Finding(
            code=clue.code,
            object=self.full(clue.object),
            summary=clue.summary,
            evidence=self.cite(clue.seen),
            facts=clue.facts,
            severity=_SEVERITY[clue.role],
        )

    def full(self, ref: ObjectRef) -> ObjectRef:
        """Name an object with its version."""
        return in_full(ref, self._facts.get(ref))

    def all(self) -> tuple[Evidence, ...]:
        """Return everything that was cited."""
        return tuple(
            Evidence(id=name, source=one.source, object=self.full(one.object), excerpt=one.excerpt, at=one.at)
            for one, name in self._ids.items()
        )
