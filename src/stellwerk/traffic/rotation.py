"""Weighted round robin that is smooth, exact and cheap.

Theory of operation. Every version has turns on a common scale: within one round, turn number k of a version
with weight w lies at (k + offset) / w, for k from 0 to w - 1. Calls are given out in the order of the turns.
So each round gives every version exactly its weight, and so does any stretch of calls as long as a round,
wherever it begins, because turns repeat from round to round. Weights are reduced by their greatest common
divisor first: 900 and 100 are rounds of ten. The offsets spread the turns of versions with equal weights; a
phase, drawn by each replica, keeps replicas from sending their rare turns at the same moment. Positions are
computed from k afresh, never added up, so that a round is like every other to the last bit.

When weights change or versions come and go, each version that stays keeps how far it was on the way to its
next turn: a version that flaps neither gets a turn for every flap nor loses its turns. One call costs a step
in a heap.
"""

from collections.abc import Mapping
from functools import reduce
from heapq import heapify, heapreplace
from math import gcd

_GOLDEN = 0.618033988749895
"""Multiples of it, taken modulo 1, are spread as evenly as can be, however many there are."""
_ALMOST_ONE = 1 - 2**-52

_Turn = tuple[int, float, str, int]
"""Round, position in it, version, number of the turn in the round."""


class Rotation:
    """The turns of one agent's versions. `phase` is in 0 … 1."""

    def __init__(self, weights: Mapping[str, int], phase: float) -> None:
        """Weights are above 0, and there is at least one."""
        offsets = {
            version: (phase + number * _GOLDEN) % 1.0 for number, version in enumerate(weights, start=1)
        }
        self._begin(weights, offsets)

    @property
    def weights(self) -> Mapping[str, int]:
        """The weights as given."""
        return self._given

    def next(self) -> str:
        """Return whose turn it is, and let the next turn come."""
        round_, at, version, number = self._turns[0]
        self._now = (round_, at)
        number += 1
        if number == self._weights[version]:
            round_, number = round_ + 1, 0
        heapreplace(self._turns, (round_, self._position(version, number), version, number))
        return version

    def change(self, weights: Mapping[str, int], phase: float) -> None:
        """Go on with other weights; newcomers are placed by the phase."""
        waits = {turn[2]: self._waits(turn) for turn in self._turns}
        offsets = {
            version: waits.get(version, (phase + number * _GOLDEN) % 1.0)
            for number, version in enumerate(weights, start=1)
        }
        self._begin(weights, offsets)

    def _begin(self, weights: Mapping[str, int], offsets: Mapping[str, float]) -> None:
        divisor = reduce(gcd, weights.values())
        self._given = dict(weights)
        self._weights = {version: weight // divisor for version, weight in weights.items()}
        self._offsets = dict(offsets)
        self._now = (0, 0.0)
        self._turns: list[_Turn] = [(0, self._position(version, 0), version, 0) for version in weights]
        heapify(self._turns)

    def _position(self, version: str, number: int) -> float:
        return (number + self._offsets[version]) / self._weights[version]

    def _waits(self, turn: _Turn) -> float:
        """Tell what part of the pause between its turns a version has still to wait, 0 … 1."""
        round_, at, version, _ = turn
        left = (round_ - self._now[0]) + (at - self._now[1])
        return min(max(left * self._weights[version], 0.0), _ALMOST_ONE)
