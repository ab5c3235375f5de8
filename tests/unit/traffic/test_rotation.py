"""The rotation: exact over every round, from any phase, whatever comes and goes."""

from collections import Counter
from functools import reduce
from itertools import islice
from math import gcd

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellwerk.traffic.rotation import Rotation

PHASES = st.floats(0, 1, exclude_max=True)
WEIGHTS = st.dictionaries(
    st.sampled_from([f"v{number}" for number in range(12)]), st.integers(1, 60), min_size=1
)


def turns(rotation: Rotation, number: int) -> list[str]:
    return [rotation.next() for _ in range(number)]


@settings(deadline=None)
@given(PHASES)
def test_any_ten_calls_at_900_to_100_hold_exactly_one_canary(phase: float) -> None:
    calls = turns(Rotation({"1.0.0": 900, "2.0.0": 100}, phase), 200)
    assert {calls[at : at + 10].count("2.0.0") for at in range(191)} == {1}


@settings(deadline=None)
@given(PHASES, st.integers(0, 25))
def test_a_thousand_calls_at_900_to_100_split_exactly_from_wherever_they_begin(
    phase: float, before: int
) -> None:
    rotation = Rotation({"1.0.0": 900, "2.0.0": 100}, phase)
    turns(rotation, before)
    assert Counter(turns(rotation, 1_000)) == {"1.0.0": 900, "2.0.0": 100}


@settings(deadline=None)
@given(WEIGHTS, PHASES, st.integers(0, 200))
def test_every_stretch_as_long_as_a_round_gives_every_version_its_weight(
    weights: dict[str, int], phase: float, before: int
) -> None:
    divisor = reduce(gcd, weights.values())
    rotation = Rotation(weights, phase)
    turns(rotation, before)
    stretch = Counter(turns(rotation, sum(weights.values()) // divisor))
    assert stretch == {version: weight // divisor for version, weight in weights.items()}


@settings(deadline=None)
@given(WEIGHTS, PHASES)
def test_no_version_is_ever_more_than_two_calls_off_its_share(weights: dict[str, int], phase: float) -> None:
    total = sum(weights.values())
    rotation, seen = Rotation(weights, phase), Counter[str]()
    for number, version in enumerate(turns(rotation, min(3 * total, 600)), start=1):
        seen[version] += 1
        share = weights[version] / total
        assert abs(seen[version] - number * share) <= 1 + len(weights) * share


def test_equal_weights_take_turns() -> None:
    calls = turns(Rotation({"a": 500, "b": 500, "c": 500}, 0.3), 30)
    assert all(set(calls[at : at + 3]) == {"a", "b", "c"} for at in range(28))


@settings(deadline=None)
@given(PHASES, st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_a_version_that_flaps_leaves_the_others_their_shares(phase: float, pauses: list[int]) -> None:
    stable, flapping = {"a": 700, "b": 300}, {"a": 700, "b": 300, "c": 100}
    rotation, seen = Rotation(stable, phase), Counter[str]()
    for number, pause in enumerate(pauses):
        rotation.change(flapping if number % 2 else stable, 0.5)
        seen.update(turns(rotation, pause))
    others = seen["a"] + seen["b"]
    # Each change moves nobody by more than one turn, and most by none.
    assert abs(seen["a"] - others * 0.7) <= 2 + len(pauses) * 0.5


@settings(deadline=None)
@given(PHASES)
def test_changing_weights_to_what_they_are_moves_nobodys_turn(phase: float) -> None:
    weights = {"1.0.0": 900, "2.0.0": 100}
    rotation = Rotation(weights, phase)
    calls = []
    for _ in range(100):
        calls.append(rotation.next())
        rotation.change(weights, 0.7)
    assert {calls[at : at + 10].count("2.0.0") for at in range(91)} <= {0, 1, 2}
    assert abs(calls.count("2.0.0") - 10) <= 1


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.999_999])
def test_a_weight_of_one_beside_the_highest_gets_its_one_call(phase: float) -> None:
    calls = Counter(islice(iter(Rotation({"a": 9_999, "b": 1}, phase).next, None), 10_000))
    assert calls == {"a": 9_999, "b": 1}
