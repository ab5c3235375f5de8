"""Repairs of the same service in a row come more and more seldom."""

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.release.watching.pacing import FIRST_US, LONGEST_US, QUIET, is_due, pause_us, repairs_after


def test_the_first_repair_is_due_at_once() -> None:
    assert is_due(0, None, 5)
    assert repairs_after(0, None, 5) == 1


def test_pauses_double_up_to_an_hour() -> None:
    assert [pause_us(number) for number in (0, 1, 2, 3)] == [0, FIRST_US, 2 * FIRST_US, 4 * FIRST_US]
    assert pause_us(1_000) == LONGEST_US


@given(st.integers(1, 100), st.integers(0, 10**12))
def test_a_repair_is_due_when_its_pause_is_over(repairs: int, at: int) -> None:
    assert not is_due(repairs, at, at + pause_us(repairs) - 1)
    assert is_due(repairs, at, at + pause_us(repairs))


def test_a_service_that_was_quiet_for_long_begins_from_the_start() -> None:
    assert repairs_after(3, 0, QUIET * pause_us(3) - 1) == 4
    assert repairs_after(3, 0, QUIET * pause_us(3)) == 1
