"""weighted_round_robin: everybody in turn, and heavier members more often.

A member's turns come at equal steps of 1 / weight on a scale that every roster (queue form) has for itself;
the earliest turn is next. With members of whole weights that have room, every round of as many tasks as the
weights add up to gives each exactly its weight, well mixed (stride scheduling; Waldspurger and Weihl, 1995).
Weights are `metadata.weight`, 1 by default, and at least 0.001. Who was full or arrives late starts from
now: nobody catches up with a burst.
"""

from collections.abc import Iterable

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.roster import OrderedRoster
from stellwerk.work.balancing.strategy import StrategyName

_Stride = tuple[float, int, float]
"""Start, turns since then, the next one included, weight. The next turn is due at start + turns / weight: one
division, so that whole rounds come out exactly and errors do not add up."""


class StrideRoster(OrderedRoster):
    """Pick the member whose turn is due first."""

    __slots__ = ("_now", "_strides")

    def __init__(self, members: Iterable[Candidate]) -> None:
        self._now = 0.0
        self._strides: dict[Candidate, _Stride] = {}
        super().__init__(self._due, members)

    def took(self, candidate: Candidate) -> None:
        start, turns, weight = self._strides[candidate]
        self._now = start + turns / weight
        if candidate.weight == weight:
            self._strides[candidate] = (start, turns + 1, weight)
        else:
            self._strides[candidate] = (self._now, 1, candidate.weight)

    def discard(self, candidate: Candidate) -> None:
        super().discard(candidate)
        self._strides.pop(candidate, None)

    def _due(self, candidate: Candidate) -> float:
        stride = self._strides.get(candidate)
        if stride is None:
            stride = self._strides[candidate] = (self._now, 1, candidate.weight)
        start, turns, weight = stride
        due = start + turns / weight
        if due < self._now:
            due = self._now
            self._strides[candidate] = (due, 0, weight)
        return due


class WeightedRoundRobin:
    """See the module."""

    name = StrategyName.WEIGHTED_ROUND_ROBIN

    def roster(self, members: Iterable[Candidate]) -> StrideRoster:
        return StrideRoster(members)

    def arrive(self, candidate: Candidate) -> None:
        pass

    def leave(self, candidate: Candidate) -> None:
        pass
