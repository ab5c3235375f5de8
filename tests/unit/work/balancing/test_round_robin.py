from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.work.balancing.catalogue import make_strategy
from stellwerk.work.balancing.strategy import Roster, StrategyName
from support.seating import candidate, waiting


def pick(roster: Roster, number: int) -> str:
    picked = roster.pick(waiting())
    assert picked is not None
    picked.picked = number
    roster.touch(picked)
    return picked.holder.group


@given(members=st.integers(1, 20), rounds=st.integers(1, 5))
def test_every_round_gives_each_member_exactly_one_task(members: int, rounds: int) -> None:
    roster = make_strategy(StrategyName.ROUND_ROBIN).roster(
        candidate(str(number), number) for number in range(members)
    )
    for round_number in range(1, rounds + 1):
        picks = Counter(pick(roster, round_number * members + step) for step in range(members))
        assert set(picks.values()) == {1}
        assert len(picks) == members


def test_who_arrives_joins_behind_those_who_wait() -> None:
    roster = make_strategy(StrategyName.ROUND_ROBIN).roster([candidate("a", 1), candidate("b", 2)])
    assert pick(roster, 3) == "a"
    roster.add(candidate("c", 4))
    assert [pick(roster, 5 + step) for step in range(4)] == ["b", "a", "c", "b"]
