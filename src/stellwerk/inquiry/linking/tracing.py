"""From what was noticed down to what has to change.

Theory of operation. Clues are gathered by unit (a workload with all that it made, or one other object). A
unit's *causes* need no explanation. Its *effects* are explained in turn by where they point to (a log names
the Service), else by the unit's own causes, else by any trouble of what the unit needs. An effect that
nothing explains is blamed on the unit itself, with the little strength that it has. Trouble that no line
leads to from the target is never reached: it may be real, and it is not the cause.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.references import WORKLOADS
from stellwerk.inquiry.linking.edges import ahead, before, called
from stellwerk.inquiry.model import ObjectRef

SUPPOSED = 0.85
"""What a step is worth that no evidence names: two things are in trouble, and one needs the other."""
WELL = 0.8
"""The same, where the target itself shows no trouble at all."""
TELLING = 0.65
"""An effect that nothing explains stands beside a cause elsewhere only if it tells so much by itself."""
LEADING = frozenset(
    {
        "SelectorUnmatched",
        "TargetPortUnmatched",
        "MissingBackend",
        "BackendPortUnmatched",
        "MissingCertificate",
        "MissingIngressClass",
    }
)
"""Causes of objects that lead to a workload, by which a workload that is well gets no calls."""


@dataclass(frozen=True, slots=True)
class Root:
    """One end of a chain."""

    clue: Clue
    blamed: ObjectRef
    path: tuple[Clue, ...]
    """From the unit where the search began to the clue itself, which is the last."""
    strength: float


class Trace:
    """One search through the clues of a bundle."""

    def __init__(self, facts: Facts, clues: Sequence[Clue]) -> None:
        self._facts = facts
        self._by_unit: dict[ObjectRef, list[Clue]] = {}
        for clue in clues:
            self._by_unit.setdefault(facts.unit(clue.object), []).append(clue)
        self._open: set[ObjectRef] = set()

    def of(self, unit: ObjectRef) -> list[Clue]:
        """List what is known of a unit, notes left out."""
        return [clue for clue in self._by_unit.get(unit, []) if clue.role != "note"]

    def roots(self, unit: ObjectRef) -> list[Root]:
        """Return the causes of a target's trouble, strongest first; each object once."""
        found = self._explain(unit) if self.of(unit) or unit.kind not in WORKLOADS else []
        if not found:
            found = [
                root
                for service in called(self._facts, unit)
                for root in self._weaker(self._explain(service), WELL)
            ]
        if not found:
            found = [root for one in before(self._facts, unit) for root in self._leading(one, unit)]
        return _each_once(found)

    def _explain(self, unit: ObjectRef) -> list[Root]:
        if unit in self._open:
            return []  # two that wait for one another
        self._open.add(unit)
        try:
            return self._search(unit)
        finally:
            self._open.discard(unit)

    def _search(self, unit: ObjectRef) -> list[Root]:
        own = self.of(unit)
        found = [root for clue in own if clue.role == "cause" for root in self._ends(clue, unit)]
        effects = [clue for clue in own if clue.role == "effect"]
        for clue in effects:
            below = [root for one in clue.points_to for root in self._explain(self._facts.unit(one))]
            found += [replace(root, path=(clue, *root.path)) for root in below]
        if found:
            return found
        if own or unit.kind not in WORKLOADS:
            found = self._supposed(unit, effects)
        return found or self._last_resort(effects, unit)

    def _supposed(self, unit: ObjectRef, effects: Sequence[Clue]) -> list[Root]:
        own = max((clue for clue in effects if clue.blames), key=lambda one: one.strength, default=None)
        if own is not None:
            return list(self._ends(own, unit))
        below = [
            root
            for one in dict.fromkeys(ahead(self._facts, unit))
            for root in self._explain(self._facts.unit(one))
        ]
        below = self._weaker(below, SUPPOSED if effects else 1.0)
        first = max(effects, key=lambda one: one.strength, default=None)
        told = [replace(root, path=(first, *root.path)) for root in below] if first else below
        strong = max((clue.strength for clue in effects if not clue.points_to), default=0.0)
        # What the unit says of itself outweighs a guess about its neighbours that is no better founded.
        return [root for root in told if root.strength >= min(strong, 0.6)]

    def _last_resort(self, effects: Sequence[Clue], unit: ObjectRef) -> list[Root]:
        best = max(effects, key=lambda one: one.strength, default=None)
        return list(self._ends(best, unit)) if best is not None else []

    def _ends(self, clue: Clue, unit: ObjectRef) -> Iterable[Root]:
        for blamed in clue.blames or (unit,):
            yield Root(clue, self._facts.unit(blamed), (clue,), clue.strength)

    def _leading(self, unit: ObjectRef, target: ObjectRef) -> list[Root]:
        """Return the causes of what leads to the target and misses it."""
        found = []
        for clue in self.of(unit):
            meant = clue.facts.get("workload") in {None, target.name} and clue.code in LEADING
            if meant and (
                unit.name == target.name or clue.facts.get("workload") or self._fronts(unit, target)
            ):
                found += list(self._ends(clue, unit))
        return found

    def _fronts(self, unit: ObjectRef, target: ObjectRef) -> bool:
        if unit.kind == "Ingress":
            return True
        body, workload = self._facts.get(unit), self._facts.get(target)
        return (
            body is not None
            and workload is not None
            and (unit == target or workload in self._facts.behind(body))
        )

    @staticmethod
    def _weaker(roots: Iterable[Root], by: float) -> list[Root]:
        return [replace(root, strength=root.strength * by) for root in roots]


def _each_once(roots: Iterable[Root]) -> list[Root]:
    best: dict[ObjectRef, Root] = {}
    for root in roots:
        if root.blamed not in best or root.strength > best[root.blamed].strength:
            best[root.blamed] = root
    ordered = sorted(best.values(), key=lambda root: root.strength, reverse=True)
    certain = [root for root in ordered if root.clue.role == "cause"]
    explained = {clue.object for root in certain for clue in root.path}
    telling = [
        root
        for root in ordered
        if root not in certain and root.strength >= TELLING and root.clue.object not in explained
    ]
    return [*certain, *telling] if certain else ordered
