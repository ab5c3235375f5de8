import pytest
from hypothesis import given
from hypothesis import strategies as st

from stellwerk.fleet.model import Presence
from stellwerk.fleet.presence import PresenceRules, last_heard_limit, presence_rules, project
from stellwerk.settings import FleetSettings

SECOND = 1_000_000
RULES = presence_rules(FleetSettings())
LONG_AGO = -1_000 * SECOND


def test_rules_follow_from_the_settings() -> None:
    assert PresenceRules(late_after_us=90 * SECOND, offline_after_us=300 * SECOND) == RULES
    settings = FleetSettings(heartbeat_interval_s=0.5, late_after=2, offline_after=4)
    expected = PresenceRules(late_after_us=1 * SECOND, offline_after_us=2 * SECOND)
    assert presence_rules(settings) == expected


@pytest.mark.parametrize(
    ("silence_us", "presence"),
    [
        (-5 * SECOND, Presence.ONLINE),
        (0, Presence.ONLINE),
        (90 * SECOND - 1, Presence.ONLINE),
        (90 * SECOND, Presence.LATE),
        (300 * SECOND - 1, Presence.LATE),
        (300 * SECOND, Presence.OFFLINE),
        (90_000 * SECOND, Presence.OFFLINE),
    ],
)
def test_presence_by_silence(silence_us: int, presence: Presence) -> None:
    now_us = 1_000_000 * SECOND
    assert project(now_us - silence_us, now_us, RULES, LONG_AGO) is presence


@pytest.mark.parametrize(
    ("since_start_s", "presence"),
    [(0, Presence.ONLINE), (89, Presence.ONLINE), (90, Presence.LATE), (300, Presence.OFFLINE)],
)
def test_after_a_start_silence_counts_from_the_start(since_start_s: int, presence: Presence) -> None:
    started_at = 1_000_000 * SECOND
    assert project(5, started_at + since_start_s * SECOND, RULES, started_at) is presence


INSTANTS = st.integers(0, 2_000 * SECOND)


@given(INSTANTS, INSTANTS, INSTANTS)
def test_the_limit_for_an_index_says_the_same_as_the_projection(
    seen_at: int, now_us: int, started_at: int
) -> None:
    projected = project(seen_at, now_us, RULES, started_at)
    late = last_heard_limit(Presence.LATE, now_us, RULES, started_at)
    offline = last_heard_limit(Presence.OFFLINE, now_us, RULES, started_at)
    assert (late is not None and seen_at <= late) == (projected is not Presence.ONLINE)
    assert (offline is not None and seen_at <= offline) == (projected is Presence.OFFLINE)
