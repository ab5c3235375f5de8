"""How often drift is repaired: pure rules.

What drifts again right after each repair is set by somebody who will not stop: a controller, a script. Two
that set the same thing against each other help nobody, so the pauses between repairs double.
"""

from stellwerk.clock import MICROSECONDS

FIRST_US = 10 * MICROSECONDS
LONGEST_US = 3_600 * MICROSECONDS
QUIET = 4
"""A service that had no repair for so many of its pauses begins from the start."""


def pause_us(repairs: int) -> int:
    """Return the pause after so many repairs in a row."""
    return min(FIRST_US * 2 ** min(max(repairs - 1, 0), 20), LONGEST_US) if repairs else 0


def is_due(repairs: int, repaired_us: int | None, now_us: int) -> bool:
    """Tell whether a service may be repaired now."""
    return repaired_us is None or now_us - repaired_us >= pause_us(repairs)


def repairs_after(repairs: int, repaired_us: int | None, now_us: int) -> int:
    """Return how many repairs in a row there are with one more now."""
    if repaired_us is None or now_us - repaired_us >= QUIET * pause_us(repairs):
        return 1
    return repairs + 1
