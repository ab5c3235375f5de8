"""Priorities and ranks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.work.priority import CLASSES, check_priority, class_of, priority_named, rank_at
from stellwerk.work.refusals import InvalidPriority

STEP_US = 300_000_000
INSTANTS = st.integers(0, 4 * 10**15)
PRIORITIES = st.integers(0, 49)


@pytest.mark.parametrize(
    ("name", "number"), [("low", 0), ("Normal", 10), ("HIGH", 20), ("critical", 30), ("urgent", 40)]
)
def test_names_mean_numbers_in_any_letter_case(name: str, number: int) -> None:
    assert priority_named(name) == number


@pytest.mark.parametrize("name", ["", "norma", "10", "nörmal", "ſow"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidPriority, match="Invalid priority"):
        priority_named(name)


@pytest.mark.parametrize("number", [-1, 50, 10**9])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(InvalidPriority):
        check_priority(number)


@given(PRIORITIES)
def test_every_number_belongs_to_the_class_below_it(number: int) -> None:
    assert CLASSES[class_of(check_priority(number))] == number // 10 * 10


@given(INSTANTS, PRIORITIES, PRIORITIES)
def test_at_the_same_instant_the_higher_priority_goes_first(at: int, one: int, other: int) -> None:
    ranks = rank_at(at, one, STEP_US), rank_at(at, other, STEP_US)
    assert (ranks[0] < ranks[1]) == (one > other)


@given(INSTANTS, INSTANTS, PRIORITIES)
def test_within_a_priority_the_older_goes_first(one: int, other: int, priority: int) -> None:
    assert (rank_at(one, priority, STEP_US) < rank_at(other, priority, STEP_US)) == (one < other)


@given(INSTANTS, st.integers(0, 39), st.integers(0, 10**10))
def test_one_step_of_waiting_is_worth_one_class(at: int, priority: int, waited: int) -> None:
    older, newer = rank_at(at, priority, STEP_US), rank_at(at + waited, priority + 10, STEP_US)
    assert (older < newer) == (waited > STEP_US)
