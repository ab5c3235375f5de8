"""consistent_hash: the same task id goes to the same member as long as it is there and has room.

A key, the task's id, belongs to the first member at or after its place on the ring (see `ring.py`); members
without room are walked past. When one leaves or fills up, only its keys move; when it is back, they return.

One ring carries all connected holders, and a roster walks past those that are not its members: that gives
the same answer as a ring of its own. Where hardly any member has room, it is cheaper to ask each of those
how near it stands than to walk; the cheaper way is taken, which bounds a pick by the root of the ring's
size.
"""

from collections.abc import Iterable

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.ring import Ring, place_of_key
from stellwerk.work.balancing.strategy import StrategyName
from stellwerk.work.task import Waiting

_ASK_OR_WALK = 7
"""Asking one member for its distance costs as much as this many steps of a walk (measured)."""


class RingRoster:
    """The members that have room, on the ring of all."""

    __slots__ = ("_free", "_marked", "_members", "_ring", "_roomy")

    def __init__(self, ring: Ring, members: Iterable[Candidate]) -> None:
        self._ring = ring
        self._members = set(members)
        self._roomy = {member: member.free for member in self._members if member.free}
        self._free = sum(self._roomy.values())
        self._marked: set[Candidate] = set()

    def add(self, candidate: Candidate) -> None:
        self._members.add(candidate)
        self._marked.add(candidate)

    def discard(self, candidate: Candidate) -> None:
        self._members.discard(candidate)
        self._free -= self._roomy.pop(candidate, 0)
        self._marked.discard(candidate)

    def touch(self, candidate: Candidate) -> None:
        self._marked.add(candidate)

    def free(self) -> int:
        self._mend()
        return self._free

    def pick(self, waiting: Waiting) -> Candidate | None:
        self._mend()
        ring, roomy = self._ring, self._roomy
        if not roomy:
            return None
        place = place_of_key(waiting.task_id)
        if len(roomy) ** 2 * _ASK_OR_WALK < len(ring):
            return min(roomy, key=lambda candidate: ring.distance(place, candidate))
        return next((candidate for candidate in ring.walk(place) if candidate in roomy), None)

    def took(self, candidate: Candidate) -> None:
        pass

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate in self._members

    def _mend(self) -> None:
        for candidate in self._marked:
            self._free -= self._roomy.pop(candidate, 0)
            if candidate.free and candidate in self._members:
                self._roomy[candidate] = candidate.free
                self._free += candidate.free
        self._marked.clear()


class ConsistentHash:
    """See the module."""

    name = StrategyName.CONSISTENT_HASH

    def __init__(self) -> None:
        self._ring = Ring()

    def roster(self, members: Iterable[Candidate]) -> RingRoster:
        return RingRoster(self._ring, members)

    def arrive(self, candidate: Candidate) -> None:
        self._ring.add(candidate)

    def leave(self, candidate: Candidate) -> None:
        self._ring.discard(candidate)
