"""The pauses between attempts."""

from hypothesis import given
from hypothesis import strategies as st

from stellwerk.work.retry import backoff_us

BASE, CAP = 1_000_000, 300_000_000
ATTEMPTS = st.integers(1, 1_000)
JITTERS = st.floats(0, 1)


def test_pauses_double_and_end_at_the_cap() -> None:
    pauses = [backoff_us(n, base_us=BASE, cap_us=CAP, jitter=1.0) / 1e6 for n in range(1, 11)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]


@given(ATTEMPTS, JITTERS)
def test_a_pause_is_in_the_upper_half(attempt: int, jitter: float) -> None:
    whole = backoff_us(attempt, base_us=BASE, cap_us=CAP, jitter=1.0)
    assert whole // 2 <= backoff_us(attempt, base_us=BASE, cap_us=CAP, jitter=jitter) <= whole <= CAP


@given(ATTEMPTS, JITTERS)
def test_the_next_pause_is_never_shorter(attempt: int, jitter: float) -> None:
    one, other = (backoff_us(n, base_us=BASE, cap_us=CAP, jitter=jitter) for n in (attempt, attempt + 1))
    assert one <= other
