from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.catalogue import make_strategy
from stellwerk.work.balancing.strategy import Roster, StrategyName
from support.seating import candidate, waiting


def pick(roster: Roster, number: int) -> str:
    picked = roster.pick(waiting())
    assert picked is not None
    picked.picked = number
    roster.took(picked)
    roster.touch(picked)
    return picked.holder.group


def roster_of(*members: Candidate) -> Roster:
    return make_strategy(StrategyName.WEIGHTED_ROUND_ROBIN).roster(members)


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=8), rounds=st.integers(1, 20))
def test_every_round_gives_each_member_exactly_its_weight(weights: list[int], rounds: int) -> None:
    roster = roster_of(
        *(candidate(str(index), index, weight=float(weight)) for index, weight in enumerate(weights))
    )
    for round_number in range(rounds):
        picks = Counter(pick(roster, 100 + round_number * 100 + step) for step in range(sum(weights)))
        assert picks == {str(index): weight for index, weight in enumerate(weights)}


def test_a_heavy_member_is_mixed_with_the_others_instead_of_going_first() -> None:
    roster = roster_of(candidate("a", 0, weight=3.0), candidate("b", 1), candidate("c", 2))
    assert "".join(pick(roster, 10 + step) for step in range(5)) == "aabca"


def test_a_late_comer_does_not_catch_up() -> None:
    roster = roster_of(candidate("a", 0), candidate("b", 1))
    for step in range(100):
        pick(roster, 10 + step)
    roster.add(candidate("c", 200))
    assert Counter(pick(roster, 300 + step) for step in range(30)) == {"a": 10, "b": 10, "c": 10}


def test_who_was_full_does_not_catch_up() -> None:
    full = candidate("a", 0)
    roster = roster_of(full, candidate("b", 1))
    full.active = full.capacity
    roster.touch(full)
    assert [pick(roster, 10 + step) for step in range(50)] == ["b"] * 50
    full.active = 0
    roster.touch(full)
    assert abs(Counter(pick(roster, 100 + step) for step in range(20))["a"] - 10) <= 1


def test_a_changed_weight_counts_from_the_next_turn() -> None:
    changed = candidate("a", 0)
    roster = roster_of(changed, candidate("b", 1))
    for step in range(10):
        pick(roster, 10 + step)
    changed.weight = 4.0
    roster.touch(changed)
    picks = Counter(pick(roster, 100 + step) for step in range(50))
    assert abs(picks["a"] - 40) <= 2


def test_even_the_lightest_member_gets_its_turn() -> None:
    roster = roster_of(candidate("a", 0, weight=0.001), candidate("b", 1))
    assert Counter(pick(roster, 10 + step) for step in range(2_002))["a"] >= 1
