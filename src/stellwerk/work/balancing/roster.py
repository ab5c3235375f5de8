"""Rosters in the order of one figure per candidate.

Theory of operation. A heap holds one valid entry for each member that has room; outdated entries stay in it
until they surface or until they outnumber the valid ones. A change of a member's figures only marks it;
marked members are mended when the next pick needs the order. So a change costs the same in however many
rosters the member is, a roster that nobody asks costs nothing but the mark, and a pick is O(log n). Members
without room are not in the heap: a fleet that is busy except for one agent is no more expensive than an idle
one.
"""

from collections.abc import Callable, Iterable, Set
from heapq import heapify, heappop, heappush

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.strategy import StrategyName
from stellwerk.work.task import Waiting

Key = Callable[[Candidate], float]
"""The figure that a strategy compares: the smallest goes first."""

_Entry = tuple[float, int, Candidate, int]
"""Key, number of the last pick, member, and how many tasks it may get."""


class OrderedRoster:
    """Pick the member with the smallest key; among equals the one that was picked longest ago."""

    __slots__ = ("_entries", "_free", "_heap", "_key", "_marked", "_members")

    def __init__(self, key: Key, members: Iterable[Candidate]) -> None:
        self._key = key
        self._members = set(members)
        self._marked: set[Candidate] = set()
        self._entries: dict[Candidate, _Entry] = {
            member: (key(member), member.picked, member, member.free)
            for member in self._members
            if member.free
        }
        self._free = sum(entry[3] for entry in self._entries.values())
        self._heap = list(self._entries.values())
        heapify(self._heap)

    def add(self, candidate: Candidate) -> None:
        self._members.add(candidate)
        self._marked.add(candidate)

    def discard(self, candidate: Candidate) -> None:
        self._members.discard(candidate)
        self._marked.discard(candidate)
        entry = self._entries.pop(candidate, None)
        if entry is not None:
            self._free -= entry[3]

    def touch(self, candidate: Candidate) -> None:
        self._marked.add(candidate)

    def free(self) -> int:
        if self._marked:
            self._mend()
        return self._free

    def pick(self, waiting: Waiting | None = None) -> Candidate | None:
        if self._marked:
            self._mend()
        heap, entries = self._heap, self._entries
        while heap:
            first = heap[0]
            if entries.get(first[2]) is first:
                return first[2]
            heappop(heap)
        return None

    def took(self, candidate: Candidate) -> None:
        pass

    @property
    def members(self) -> Set[Candidate]:
        """Everybody that takes part, with room or without. A live view."""
        return self._members

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate in self._members

    def _mend(self) -> None:
        """Give every marked member the entry that it should have."""
        heap, entries, members = self._heap, self._entries, self._members
        for candidate in self._marked:
            if candidate not in members:
                continue
            before = entries.get(candidate)
            if before is not None:
                self._free -= before[3]
            free = candidate.free
            if not free:
                entries.pop(candidate, None)
                continue
            self._free += free
            entry = (self._key(candidate), candidate.picked, candidate, free)
            if entry != before:
                entries[candidate] = entry
                heappush(heap, entry)
        self._marked.clear()
        if len(heap) > 2 * len(entries) + 64:
            self._heap = list(entries.values())
            heapify(self._heap)


class OrderedStrategy:
    """A strategy that compares one figure; its rosters share nothing."""

    def __init__(self, name: StrategyName, key: Key) -> None:
        self.name = name
        self._key = key

    def roster(self, members: Iterable[Candidate]) -> OrderedRoster:
        return OrderedRoster(self._key, members)

    def arrive(self, candidate: Candidate) -> None:
        pass

    def leave(self, candidate: Candidate) -> None:
        pass
