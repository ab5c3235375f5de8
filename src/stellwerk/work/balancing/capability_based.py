"""capability_based: the member that has the most of what the task prefers.

A task may prefer capabilities (`task_data.required_capabilities`) without requiring them. The member that
has most of them wins; among equals, and where nothing is preferred or nobody with room has any of it,
reliability times the share of free capacity decides. Preferences choose among those that match; they never
make a task wait.
"""

from collections import OrderedDict
from collections.abc import Iterable

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.roster import OrderedRoster
from stellwerk.work.balancing.strategy import StrategyName
from stellwerk.work.task import Waiting

_PREFERENCES = 8
"""Sets of preferred capabilities that a roster keeps in order; others cost a pass over the members."""
_CONSIDERED = 32
"""Preferred capabilities of a task that count; more would only cost."""


def aptitude(candidate: Candidate) -> float:
    """Return the negative score where preferences leave a tie: the smallest goes first."""
    return -candidate.reliability * candidate.room


class CapabilityRoster:
    """One order for all, and one for each set of preferred capabilities lately asked for."""

    __slots__ = ("_all", "_apt")

    def __init__(self, members: Iterable[Candidate]) -> None:
        self._all = OrderedRoster(aptitude, members)
        self._apt: OrderedDict[frozenset[str], OrderedRoster] = OrderedDict()

    def add(self, candidate: Candidate) -> None:
        self._all.add(candidate)
        for preferred, roster in self._apt.items():
            if not preferred.isdisjoint(candidate.capabilities):
                roster.add(candidate)

    def discard(self, candidate: Candidate) -> None:
        self._all.discard(candidate)
        for roster in self._apt.values():
            roster.discard(candidate)

    def touch(self, candidate: Candidate) -> None:
        self._all.touch(candidate)
        for roster in self._apt.values():
            roster.touch(candidate)

    def free(self) -> int:
        return self._all.free()

    def pick(self, waiting: Waiting) -> Candidate | None:
        if waiting.preferred:
            apt = self._preferring(frozenset(waiting.preferred[:_CONSIDERED])).pick()
            if apt is not None:
                return apt
        return self._all.pick()

    def took(self, candidate: Candidate) -> None:
        pass

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate in self._all

    def _preferring(self, preferred: frozenset[str]) -> OrderedRoster:
        """Return the order of the members that have any of these."""
        roster = self._apt.get(preferred)
        if roster is not None:
            self._apt.move_to_end(preferred)
            return roster

        def fit(candidate: Candidate) -> float:
            # The overlap is a whole number and the aptitude lies within one: the overlap goes first.
            return aptitude(candidate) - len(preferred & candidate.capabilities)

        apt = [member for member in self._all.members if not preferred.isdisjoint(member.capabilities)]
        roster = self._apt[preferred] = OrderedRoster(fit, apt)
        if len(self._apt) > _PREFERENCES:
            self._apt.popitem(last=False)
        return roster


class CapabilityBased:
    """See the module."""

    name = StrategyName.CAPABILITY_BASED

    def roster(self, members: Iterable[Candidate]) -> CapabilityRoster:
        return CapabilityRoster(members)

    def arrive(self, candidate: Candidate) -> None:
        pass

    def leave(self, candidate: Candidate) -> None:
        pass
