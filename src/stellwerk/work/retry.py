"""When a failed or lost attempt is tried again."""

_MOST_DOUBLINGS = 40
"""Past this every back-off has reached its cap; keeps the shift small for absurd attempt numbers."""


def backoff_us(attempt: int, *, base_us: int, cap_us: int, jitter: float) -> int:
    """Return the pause after attempt number `attempt` (from 1): exponential, capped, spread over its upper
    half.

    `jitter` is in 0 … 1. The spread keeps tasks that failed together from coming back together.
    """
    whole = min(cap_us, base_us << min(max(attempt - 1, 0), _MOST_DOUBLINGS))
    return whole // 2 + int(whole / 2 * jitter)
