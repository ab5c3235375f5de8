"""Sessions that stick: everybody agrees, nobody moves without need, weights are kept."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from stellwerk.traffic.sticking import stick

CHOICES = st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 10_000), min_size=2, max_size=8)
SESSIONS = [f"session-{number}" for number in range(4_000)]


@settings(deadline=None)
@given(st.text(), CHOICES)
def test_the_choice_depends_on_nothing_but_the_session_and_the_choices(
    session: str, choices: dict[str, int]
) -> None:
    assert stick(session, choices.items()) == stick(session, reversed(choices.items()))


@settings(deadline=None)
@given(st.text(), CHOICES)
def test_only_the_sessions_of_a_choice_that_goes_away_move(session: str, choices: dict[str, int]) -> None:
    chosen = stick(session, choices.items())
    for gone in choices:
        if gone != chosen:
            left = {name: weight for name, weight in choices.items() if name != gone}
            assert stick(session, left.items()) == chosen


@settings(deadline=None)
@given(st.text(), CHOICES, st.integers(1, 10_000))
def test_a_choice_that_gains_weight_loses_no_session(
    session: str, choices: dict[str, int], more: int
) -> None:
    chosen = stick(session, choices.items())
    heavier = {**choices, chosen: choices[chosen] + more}
    assert stick(session, heavier.items()) == chosen


def test_sessions_are_shared_by_weight() -> None:
    found = Counter(stick(session, [("a", 900), ("b", 100)]) for session in SESSIONS)
    assert 300 <= found["b"] <= 500
