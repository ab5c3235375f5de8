"""Figures over a window: counts are exact, percentiles near, and what is old is gone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stellwerk.traffic.figures import Figures

KEY = ("hello", "1.0.0")
SECOND = 1_000_000


def test_a_version_without_calls_has_no_percentiles() -> None:
    figures = Figures(300).of(KEY, 0)
    assert (figures.calls, figures.errors, figures.p50_ms, figures.p99_ms) == (0, 0, None, None)


@settings(deadline=None)
@given(st.lists(st.floats(0.3, 1_000_000), min_size=1, max_size=200))
def test_percentiles_are_within_seven_percent(durations: list[float]) -> None:
    figures = Figures(300)
    for took_ms in durations:
        figures.record(KEY, SECOND, ok=True, took_ms=took_ms)
    shown, ordered = figures.of(KEY, SECOND), sorted(durations)
    for share, got in ((0.5, shown.p50_ms), (0.95, shown.p95_ms), (0.99, shown.p99_ms)):
        true = ordered[-(-len(ordered) * int(share * 100) // 100) - 1]
        assert got == pytest.approx(true, rel=0.07)


def test_the_window_slides() -> None:
    figures = Figures(300)
    for at in range(600):
        figures.record(KEY, at * SECOND, ok=at % 2 == 0, took_ms=5)
    shown = figures.of(KEY, 600 * SECOND)
    assert 290 <= shown.calls <= 310
    assert abs(shown.errors - shown.calls / 2) <= 1
    assert figures.of(KEY, 2_000 * SECOND).calls == 0


def test_a_removed_agent_is_forgotten() -> None:
    figures = Figures(300)
    figures.record(KEY, SECOND, ok=True, took_ms=5)
    figures.forget("hello")
    assert figures.of(KEY, SECOND).calls == 0
