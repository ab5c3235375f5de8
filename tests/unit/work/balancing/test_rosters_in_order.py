"""The ordered roster against a naive one that sorts everybody for every pick."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.capability_based import aptitude
from stellwerk.work.balancing.catalogue import make_strategy, strategy_named
from stellwerk.work.balancing.consistent_hash import PATIENCE
from stellwerk.work.balancing.least_connections import connections
from stellwerk.work.balancing.least_response_time import expected_response
from stellwerk.work.balancing.predictive import prospects
from stellwerk.work.balancing.resource_based import resources
from stellwerk.work.balancing.ring import place_of_key, places_of
from stellwerk.work.balancing.round_robin import turn
from stellwerk.work.balancing.strategy import Roster, Strategy, StrategyName
from stellwerk.work.task import Holder, Waiting
from support.seating import candidate, waiting

KEYS: dict[StrategyName, Callable[[Candidate], float]] = {
    StrategyName.ROUND_ROBIN: turn,
    StrategyName.LEAST_CONNECTIONS: connections,
    StrategyName.LEAST_RESPONSE_TIME: expected_response,
    StrategyName.RESOURCE_BASED: resources,
    StrategyName.PREDICTIVE: prospects,
}
PREFERENCES = st.lists(st.sampled_from("xyz"), max_size=2, unique=True)


class RosterMachine(RuleBasedStateMachine):
    """Members come, go, change and are picked; every pick is what the definition says."""

    name: StrategyName

    def __init__(self) -> None:
        super().__init__()
        self.strategy: Strategy = make_strategy(self.name)
        self.members: list[Candidate] = []
        self.outsiders: list[Candidate] = []
        self.roster: Roster = self.strategy.roster([])
        self.number = 0

    def next_number(self) -> int:
        self.number += 1
        return self.number

    @rule(capacity=st.integers(0, 3), capabilities=PREFERENCES, outside=st.booleans())
    def arrive(self, capacity: int, capabilities: list[str], outside: bool) -> None:
        number = self.next_number()
        new = Candidate(Holder(f"a{number}"), capacity, number)
        new.capabilities = frozenset(capabilities)
        self.strategy.arrive(new)
        if outside:
            self.outsiders.append(new)
        else:
            self.members.append(new)
            self.roster.add(new)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(self.members))
        self.members.remove(gone)
        self.roster.discard(gone)
        self.strategy.leave(gone)

    @precondition(lambda self: self.members)
    @rule(
        data=st.data(),
        active=st.integers(0, 4),
        foreign=st.integers(0, 3),
        cpu=st.none() | st.integers(0, 4).map(lambda n: n / 4),
        accepting=st.booleans(),
        response_ms=st.none() | st.integers(1, 500).map(float),
    )
    def change(
        self,
        data: st.DataObject,
        active: int,
        foreign: int,
        cpu: float | None,
        accepting: bool,
        response_ms: float | None,
    ) -> None:
        changed = data.draw(st.sampled_from(self.members))
        changed.active, changed.foreign, changed.cpu = active, float(foreign), cpu
        changed.accepting, changed.response_ms = accepting, response_ms
        changed.learn(active % 2 == 0, 100.0)
        self.roster.touch(changed)

    @rule(key=st.integers(0, 1_000), preferred=PREFERENCES)
    def pick(self, key: int, preferred: list[str]) -> None:
        task = waiting(f"task-{key}", "any", 0, *preferred)
        picked = self.roster.pick(task)
        assert picked is self.expected(task)
        if picked is not None:
            picked.active += 1
            picked.picked = self.next_number()
            self.roster.took(picked)
            self.roster.touch(picked)

    @invariant()
    def free_is_what_the_members_may_get(self) -> None:
        assert self.roster.free() == sum(member.free for member in self.members)
        assert len(self.roster) == len(self.members)

    def expected(self, task: Waiting) -> Candidate | None:
        key = KEYS[self.name]
        roomy = [member for member in self.members if member.free]
        return min(roomy, key=lambda member: (key(member), member.picked), default=None)


class CapabilityMachine(RosterMachine):
    name = StrategyName.CAPABILITY_BASED

    def expected(self, task: Waiting) -> Candidate | None:
        def order(member: Candidate) -> tuple[float, float, int]:
            overlap = len(member.capabilities.intersection(task.preferred))
            return -overlap, round(aptitude(member), 9), member.picked

        return min((member for member in self.members if member.free), key=order, default=None)


class RingMachine(RosterMachine):
    """Walks a ring of the members alone, drawn afresh for every pick."""

    name = StrategyName.CONSISTENT_HASH

    def expected(self, task: Waiting) -> Candidate | None:
        ring = sorted(
            (place, member.holder, member) for member in self.members for place in places_of(member.holder)
        )
        key = place_of_key(task.task_id)
        walk = [step for step in ring if step[0] >= key] + [step for step in ring if step[0] < key]
        for _, _, member in walk[:PATIENCE]:
            if member.free:
                return member
        assert not any(member.free for member in self.members) or len(self.members) > 1
        return self.roster.pick(task)


def machine_of(name: StrategyName) -> type[RosterMachine]:
    if name is StrategyName.CAPABILITY_BASED:
        return CapabilityMachine
    if name is StrategyName.CONSISTENT_HASH:
        return RingMachine
    return type("Machine", (RosterMachine,), {"name": name})


@pytest.mark.parametrize("name", [*KEYS, StrategyName.CAPABILITY_BASED, StrategyName.CONSISTENT_HASH])
def test_a_roster_picks_what_the_definition_says(name: StrategyName) -> None:
    case = machine_of(name).TestCase
    case.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
    case("runTest").debug()


def test_outdated_entries_do_not_pile_up() -> None:
    roster = make_strategy(StrategyName.LEAST_CONNECTIONS).roster([one := candidate("a"), candidate("b", 1)])
    for turns in range(10_000):
        one.active = turns % 2
        roster.touch(one)
        roster.free()
    assert len(roster._heap) < 200  # type: ignore[attr-defined]


def test_equals_take_turns() -> None:
    roster = make_strategy(StrategyName.LEAST_CONNECTIONS).roster(
        members := [candidate(name, number, capacity=100) for number, name in enumerate("abc")]
    )
    order = []
    for number in range(3, 12):
        picked = roster.pick(waiting())
        assert picked is not None
        picked.active, picked.picked = picked.active + 1, number
        roster.touch(picked)
        order.append(picked.holder.group)
    assert order == list("abcabcabc")
    assert Counter(member.active for member in members) == {3: 3}


@pytest.mark.parametrize("name", list(StrategyName))
def test_every_strategy_bears_its_name(name: StrategyName) -> None:
    assert make_strategy(name).name is name
    assert strategy_named(name.value.upper()) is name


@pytest.mark.parametrize("name", list(StrategyName))
def test_a_member_without_capacity_or_that_accepts_nothing_is_never_picked(name: StrategyName) -> None:
    strategy = make_strategy(name)
    idle = [candidate("a", capacity=0), candidate("b", 1, accepting=False), candidate("c", 2, active=10)]
    for member in idle:
        strategy.arrive(member)
    roster = strategy.roster(idle)
    assert (roster.pick(waiting()), roster.free()) == (None, 0)
