"""Token buckets."""

import pytest

from stellwerk.http.limits import Rate

SECOND = 1_000_000


def test_a_burst_passes_and_then_the_rate_holds() -> None:
    rate = Rate(per_s=2, burst=3)
    assert [rate.take("a", 0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rate.take("a", 0) == pytest.approx(0.5)
    assert rate.take("a", SECOND // 2) == 0.0
    assert rate.take("a", SECOND // 2) > 0.0


def test_callers_do_not_share_a_bucket() -> None:
    rate = Rate(per_s=1, burst=1)
    assert rate.take("a", 0) == 0.0
    assert rate.take("b", 0) == 0.0


def test_a_rate_of_nothing_is_unlimited() -> None:
    rate = Rate(per_s=0, burst=1)
    assert rate.unlimited
    assert all(rate.take("a", 0) == 0.0 for _ in range(1_000))


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    rate = Rate(per_s=1, burst=1)
    rate.take("a", 10 * SECOND)
    assert rate.take("a", 5 * SECOND) > 0.0


def test_the_quietest_callers_are_forgotten_beyond_the_bound() -> None:
    rate = Rate(per_s=1, burst=1, callers=2)
    for caller in ("a", "b", "a", "c"):
        rate.take(caller, 0)
    assert rate.take("a", 0) > 0.0
    assert rate.take("b", 0) == 0.0
