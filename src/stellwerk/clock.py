"""Time as an argument: everything that decides by the clock is handed one."""

import time
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """Tells the time in microseconds since the epoch, UTC."""

    def now_us(self) -> int: ...


class SystemClock:
    """The machine's wall clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000
