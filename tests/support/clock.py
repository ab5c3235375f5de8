"""A clock that moves only when a test says so."""

from stellwerk.clock import MICROSECONDS


class FakeClock:
    """Starts at a fixed instant; `advance` moves it forward."""

    def __init__(self, now_us: int = 1_790_000_000 * MICROSECONDS) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        return self._now_us

    def advance(self, seconds: float) -> None:
        self._now_us += int(seconds * MICROSECONDS)
