"""What passes between a running function and its worker.

The function's side (a thread or a coroutine) notes progress and lines and asks whether it is cancelled; the
worker's side, on the event loop, collects what was noted and cancels. Nothing is locked: every field is
written by one side, and what both touch is a single reference or a deque, whose append and popleft are
atomic.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime

from stellwerk.sdk.wire import Line

LINE_CHARACTERS = 8_192
"""Longest line, as on the server.

A longer one is cut here already so that a frame stays within its limits.
"""
NOTE_CHARACTERS = 1_000
"""Longest note about progress."""
LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})
ATTEMPT_CHARACTERS = 4_194_304
"""Most that one attempt may log, as on the server, which marks the cut."""


class Exchange:
    """Notes of one attempt, and its cancellation."""

    __slots__ = ("_event", "_logged", "_seq", "cancel_reason", "cancelled", "lines", "noted", "reported")

    def __init__(self) -> None:
        self.cancelled = False
        self.cancel_reason: str | None = None
        self.lines: deque[Line] = deque()
        self.reported: tuple[float, str | None] | None = None
        self.noted = False
        """Whether `reported` changed since it was last sent."""
        self._event: threading.Event | None = None
        self._seq = 0
        self._logged = 0

    def cancel(self, reason: str) -> None:
        """Tell the function to stop. The first reason stays."""
        if self.cancelled:
            return
        self.cancel_reason = reason
        self.cancelled = True
        if self._event is not None:
            self._event.set()

    def wait_cancelled(self, timeout_s: float) -> bool:
        """Block until cancelled, at most for the given time; return whether it is."""
        # Made on demand, before the flag is looked at: most tasks never wait, and `cancel` sets the flag
        # first.
        self._event = self._event or threading.Event()
        return self.cancelled or self._event.wait(timeout_s)

    def report(self, fraction: float, note: str | None) -> None:
        """Note how far it is; what lies behind an earlier report is ignored."""
        fraction = min(1.0, max(0.0, fraction))
        if self.reported is None or fraction >= self.reported[0]:
            self.reported = (fraction, None if note is None else _clean(note[:NOTE_CHARACTERS]))
            self.noted = True

    def log(self, text: str, level: str) -> None:
        """Note a text, line by line, until the attempt has logged its share."""
        # One word that the server does not know would cost the whole batch.
        level = level if level in LEVELS else "info"
        for line in text.split("\n"):
            if self._logged > ATTEMPT_CHARACTERS:
                return
            self._seq += 1
            self._logged += len(line)
            self.lines.append(Line(self._seq, _clean(line[:LINE_CHARACTERS]), level, datetime.now(UTC)))


def _clean(text: str) -> str:
    # Lone surrogates (from file names, say) cannot be sent.
    return text.encode("utf-8", "replace").decode()
