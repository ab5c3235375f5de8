"""How long to wait before the next try."""

from __future__ import annotations

import random


def chance() -> float:
    """Return a random number in 0..1 for `Backoff.next_s`."""
    return random.random()  # noqa: S311  it spreads pauses and guards no secret


class Backoff:
    """Doubling pauses with full jitter: a fleet that lost its server together comes back spread out."""

    def __init__(self, first_s: float, cap_s: float) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._tries = 0

    def next_s(self, chance: float) -> float:
        """Return the next pause, between nothing and the doubled one; `chance` is random in 0..1."""
        full_s = min(self._cap_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return full_s * chance

    @property
    def failing(self) -> bool:
        """Whether anything has failed since the last reset."""
        return self._tries > 0

    def reset(self) -> None:
        """Start over after something worked."""
        self._tries = 0
