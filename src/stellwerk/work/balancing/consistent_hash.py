"""consistent_hash: the same task id goes to the same member, as long as it is there and has room.

A key, the task's id, belongs to the first member at or after its place on the ring (see `ring.py`). Members
without room are walked past, up to 32 places: when one leaves or fills up, only its keys move, and when it
is back they return. In a fleet so full that none of these has room there is no nearness to keep, and the
member that has had room for longest takes the task.

All connected holders stand on one ring, and rosters with a fair share of them walk past the others; a roster
with few of them has a ring of its own. Both give the same answers: a member's places follow from its name
alone.
"""

from collections.abc import Iterable

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.ring import Ring, place_of_key
from stellwerk.work.balancing.strategy import StrategyName
from stellwerk.work.task import Waiting

PATIENCE = 32
"""Places of members that a walk passes: with a fifth having room, one walk in a thousand is in vain."""
_FEW = 8
"""A roster with less than this part of all gets a ring of its own: walks on the common one are long."""


class RingRoster:
    """The members that have room, in the order in which they came to have it, on a ring."""

    __slots__ = ("_common", "_free", "_marked", "_members", "_own", "_roomy")

    def __init__(self, common: Ring, members: Iterable[Candidate]) -> None:
        self._common = common
        self._own: Ring | None = None
        self._members = set(members)
        self._roomy = {member: member.free for member in self._members if member.free}
        self._free = sum(self._roomy.values())
        self._marked: dict[Candidate, None] = {}

    def add(self, candidate: Candidate) -> None:
        self._members.add(candidate)
        self._marked[candidate] = None
        if self._own is not None:
            self._own.add(candidate, self._common.places(candidate))

    def discard(self, candidate: Candidate) -> None:
        self._members.discard(candidate)
        self._marked.pop(candidate, None)
        self._free -= self._roomy.pop(candidate, 0)
        if self._own is not None:
            self._own.discard(candidate)

    def touch(self, candidate: Candidate) -> None:
        self._marked[candidate] = None

    def free(self) -> int:
        if self._marked:
            self._mend()
        return self._free

    def pick(self, waiting: Waiting) -> Candidate | None:
        if self._marked:
            self._mend()
        roomy = self._roomy
        if not roomy:
            return None
        place = place_of_key(waiting.task_id)
        ring = self._ring()
        among = None if len(ring) == len(self._members) else self._members
        return ring.first(place, roomy, among, PATIENCE) or next(iter(roomy))

    def took(self, candidate: Candidate) -> None:
        pass

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate in self._members

    def _ring(self) -> Ring:
        members = len(self._members)
        if self._own is None:
            if members * _FEW >= len(self._common):
                return self._common
            self._own = Ring(members)
            for member in self._members:
                self._own.add(member, self._common.places(member))
        elif members * _FEW >= 2 * len(self._common):
            self._own = None
            return self._common
        return self._own

    def _mend(self) -> None:
        roomy = self._roomy
        for candidate in self._marked:
            free = candidate.free if candidate in self._members else 0
            self._free += free - roomy.get(candidate, 0)
            if free:
                roomy[candidate] = free
            else:
                roomy.pop(candidate, None)
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
