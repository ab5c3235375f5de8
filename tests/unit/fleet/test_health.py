import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.fleet.health import health_score, load_fraction
from stellwerk.fleet.model import Condition, Presence

ONLINE, ACTIVE = Presence.ONLINE, Condition.ACTIVE


@pytest.mark.parametrize(
    ("condition", "score"),
    [
        (Condition.ACTIVE, 1.0),
        (Condition.INACTIVE, 1.0),
        (Condition.BUSY, 0.9),
        (Condition.MAINTENANCE, 0.8),
        (Condition.ERROR, 0.5),
    ],
)
def test_condition_term(condition: Condition, score: float) -> None:
    assert health_score(condition, ONLINE, {}) == score


@pytest.mark.parametrize(
    ("presence", "score"), [(Presence.ONLINE, 1.0), (Presence.LATE, 0.8), (Presence.OFFLINE, 0.3)]
)
def test_silence_term(presence: Presence, score: float) -> None:
    assert health_score(ACTIVE, presence, {}) == score


@pytest.mark.parametrize(
    ("load", "score"),
    [
        ({}, 1.0),
        ({"cpu_usage": 0.6}, 1.0),
        ({"cpu_usage": 0.61}, 0.9),
        ({"cpu_usage": 0.8}, 0.9),
        ({"cpu_usage": 0.81}, 0.7),
        ({"cpu_usage": 1.0}, 0.7),
        ({"cpu_usage": 60.0}, 1.0),
        ({"cpu_usage": 61.0}, 0.9),
        ({"cpu_usage": 81.0}, 0.7),
        ({"cpu_usage": 0.1, "memory_usage": 0.9}, 0.7),
        ({"cpu_percent": 0.9}, 1.0),
        ({"cpu_percent": 90}, 0.7),
        ({"cpu_percent": 250}, 0.7),
        ({"load": 0.7}, 0.9),
        ({"load": 3.5}, 1.0),
        ({"memory": 0.9}, 0.7),
        ({"memory_usage": 4_096}, 1.0),
        ({"active_connections": 5, "pending_tasks": 2}, 1.0),
        ({"active_connections": 1, "pending_tasks": 1}, 1.0),
        ({"success_rate": 0.95}, 1.0),
        ({"cpu_usage": -1}, 1.0),
        ({"cpu_usage": float("nan")}, 1.0),
    ],
)
def test_load_term_is_that_of_the_highest_fraction(load: dict[str, float], score: float) -> None:
    assert health_score(ACTIVE, ONLINE, load) == score


def test_the_published_example_of_a_busy_agent_loses_only_for_busy() -> None:
    assert health_score(Condition.BUSY, ONLINE, {"active_connections": 5, "pending_tasks": 2}) == 0.9


def test_terms_add_up() -> None:
    assert health_score(Condition.BUSY, Presence.LATE, {"cpu_usage": 0.7}) == 0.6
    assert health_score(Condition.ERROR, ONLINE, {"cpu_usage": 0.9}) == 0.2


def test_score_is_never_below_nothing() -> None:
    assert health_score(Condition.ERROR, Presence.OFFLINE, {"cpu_usage": 0.9}) == 0.0


LOADS = st.dictionaries(
    st.sampled_from(["cpu_usage", "memory_percent", "load", "tasks", "gpu"]), st.floats(), max_size=4
)


@given(st.sampled_from(Condition), st.sampled_from(Presence), LOADS)
def test_score_is_a_tenth_between_nought_and_one(
    condition: Condition, presence: Presence, load: dict[str, float]
) -> None:
    score = health_score(condition, presence, load)
    assert score in [tenth / 10 for tenth in range(11)]


@given(st.sampled_from(Condition), LOADS)
def test_silence_never_makes_an_agent_healthier(condition: Condition, load: dict[str, float]) -> None:
    online, late, offline = (health_score(condition, presence, load) for presence in Presence)
    assert online >= late >= offline


@given(st.text(), st.floats())
def test_a_load_fraction_is_between_nought_and_one_or_none(name: str, value: float) -> None:
    fraction = load_fraction(name + "usage", value)
    assert fraction is None or 0.0 <= fraction <= 1.0
