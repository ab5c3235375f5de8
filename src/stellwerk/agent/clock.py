"""The time of this machine, and what the server makes of it.

Certificates are valid by the server's clock. The agent learns the difference from the `Date` of every answer
and plans renewals by the server's time, so that a machine whose clock is wrong renews in time all the same.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

SECOND = 1_000_000


class Clock(Protocol):
    """Tells microseconds UTC."""

    def now_us(self) -> int: ...


class SystemClock:
    """The machine's own clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1000


class ServerTime:
    """The server's clock as last heard; the machine's own before that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.skew_us = 0
        """Server minus machine; the header counts in seconds, so it is right to about one."""

    def heard(self, date: str | None) -> None:
        """Take the `Date` of an answer; anything that is none changes nothing."""
        if not date:
            return
        try:
            said = parsedate_to_datetime(date)
        except (ValueError, TypeError):
            return
        self.skew_us = int(said.timestamp() * SECOND) - self._clock.now_us()

    def now_us(self) -> int:
        """Return the time by the server's clock."""
        return self._clock.now_us() + self.skew_us


def timestamp(now_us: int) -> str:
    """Render as `2026-01-10T14:23:45Z`."""
    return datetime.fromtimestamp(now_us / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
