"""What the strategies that compare one figure prefer."""

import pytest

from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.least_connections import connections
from stellwerk.work.balancing.least_response_time import expected_response
from stellwerk.work.balancing.predictive import forecast, prospects
from stellwerk.work.balancing.resource_based import resources
from stellwerk.work.balancing.roster import Key
from stellwerk.work.balancing.round_robin import turn
from support.seating import candidate


def first(key: Key, *candidates: Candidate) -> str:
    return min(candidates, key=key).holder.group


def test_round_robin_prefers_who_was_picked_longest_ago() -> None:
    assert first(turn, candidate("a", picked=7), candidate("b", picked=3), candidate("c", picked=9)) == "b"


def test_least_connections_counts_our_leases_and_what_was_reported_beyond_them() -> None:
    assert connections(candidate(active=3, foreign=2.0)) == 5.0
    assert first(connections, candidate("a", active=3), candidate("b", active=1, foreign=1.0)) == "b"


def test_response_time_grows_with_the_connections_that_the_task_would_meet() -> None:
    fast_but_busy, slow_but_idle = candidate(response_ms=10.0, active=9), candidate(response_ms=90.0)
    assert expected_response(fast_but_busy) == 100.0
    assert expected_response(slow_but_idle) == 90.0


def test_an_unmeasured_member_is_probed_with_one_task_and_then_counts_as_slow() -> None:
    assert expected_response(candidate()) == 0.0
    assert expected_response(candidate(active=1)) == 2_000.0


def test_resources_are_free_shares_times_reliability_times_room() -> None:
    assert resources(candidate(cpu=0.2, memory=0.4)) == pytest.approx(-0.7)
    assert resources(candidate(cpu=0.2, memory=0.4, active=5)) == pytest.approx(-0.35)
    assert resources(candidate(cpu=0.2, memory=0.4, succeeded=0, failed=4)) == pytest.approx(-0.35)
    assert resources(candidate()) == pytest.approx(-0.5)


def test_a_full_processor_still_leaves_an_order() -> None:
    full, fuller = candidate(cpu=1.0, memory=1.0), candidate(cpu=1.0, memory=1.0, active=5)
    assert resources(full) < resources(fuller) < 0


def test_a_forecast_blends_the_long_run_with_the_last_ten_outcomes() -> None:
    assert forecast(candidate(response_ms=1_000.0, succeeded=4, failed=8, recent=0b1_10)) == pytest.approx(
        0.7 * (0.5 + 0.5) / 2 + 0.3 * 0.5
    )
    assert forecast(candidate()) == pytest.approx(0.7 * 0.75 + 0.3)


def test_prospects_shrink_as_the_capacity_fills() -> None:
    assert prospects(candidate(active=5)) == pytest.approx(prospects(candidate()) / 2)


def test_recent_success_forgets_what_is_older_than_ten_outcomes() -> None:
    learner = candidate()
    for _ in range(10):
        learner.learn(False, 5.0)
    assert (learner.recent_success, learner.failed) == (0.0, 10)
    for _ in range(5):
        learner.learn(True, 5.0)
    assert learner.recent_success == 0.5
    for _ in range(5):
        learner.learn(True, 5.0)
    assert learner.recent_success == 1.0


def test_only_successes_tell_how_fast_a_member_is() -> None:
    learner = candidate()
    learner.learn(False, 1.0)
    assert learner.response_ms is None
    learner.learn(True, 100.0)
    learner.learn(True, 200.0)
    assert learner.response_ms == pytest.approx(120.0)


def test_a_newcomer_is_trusted_and_one_failure_costs_a_fifth() -> None:
    assert candidate().reliability == 1.0
    assert candidate(failed=1).reliability == 0.8
