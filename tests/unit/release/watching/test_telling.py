"""A trouble is told when somebody should know, and over when it stays away."""

from stellwerk.release.health import HEALTHY, MISSING, Health
from stellwerk.release.objects import Key
from stellwerk.release.reasons import Reason
from stellwerk.release.watching.telling import PATIENCE_US, STAYS_US, Trouble, is_over, trouble_of

POD = Key("shop", "Pod", "front-1")
NOW = 1_000_000_000


def reason(code: str, *, certain: bool = False) -> Reason:
    return Reason(code, "why", certain, POD)


def told(found: Health, for_us: int = 0) -> Trouble | None:
    return trouble_of(found, unwell_us=NOW - for_us, now_us=NOW)


def test_what_is_well_suspended_or_unknown_is_no_trouble() -> None:
    assert [told(Health(status)) for status in ("healthy", "suspended", "unknown")] == [None] * 3


def test_what_is_degraded_or_missing_is_told_at_once() -> None:
    degraded = Health("degraded", "0 of 1: CrashLoopBackOff", reason("CrashLoopBackOff", certain=True))
    assert told(degraded) == Trouble("CrashLoopBackOff", "0 of 1: CrashLoopBackOff")
    assert told(Health("degraded", "lost")) == Trouble("Degraded", "lost")
    assert told(MISSING) == Trouble("Missing", "is not there")


def test_progress_is_told_only_when_a_reason_stays_in_its_way() -> None:
    waiting = Health("progressing", "0 of 1", reason("ProbeFailed"))
    assert told(waiting, PATIENCE_US - 1) is None
    assert told(waiting, PATIENCE_US) == Trouble("ProbeFailed", "0 of 1")
    assert told(Health("progressing", "0 of 1"), 10 * PATIENCE_US) is None


def test_a_trouble_is_over_when_the_object_stays_well() -> None:
    assert not is_over(HEALTHY, since_us=NOW - STAYS_US + 1, now_us=NOW)
    assert is_over(HEALTHY, since_us=NOW - STAYS_US, now_us=NOW)
    assert not is_over(Health("unknown"), since_us=0, now_us=NOW)
