"""What a worker's function is handed: its task, and the way to say how it goes.

A context is used from the function's thread (or coroutine) and read by the event loop. Everything shared is
either written once, a single reference, or a deque, whose append and popleft are atomic; so nothing is
locked. `progress` and `log` only note; the worker sends what was noted every fraction of a second, and always
before the outcome.
"""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

import msgspec

from stellwerk.sdk.errors import TaskCancelled
from stellwerk.sdk.wire import Frame, Line

LINE_CHARACTERS = 8_192
"""Longest log line, as on the server; a longer one is cut here so that a frame stays within its limits."""
TASK_CHARACTERS = 4_194_304
"""Most that one attempt may log, as on the server."""


class Context:
    """The handle of one attempt at a task."""

    __slots__ = (
        "_cancel_reason",
        "_cancelled",
        "_frame",
        "_lines",
        "_logged",
        "_noted",
        "_progress",
        "_seq",
        "data",
    )

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.data: Any = frame.task_data if frame.task_data is not None else {}
        """The task's data as submitted, `task_type` included."""
        self._cancelled = threading.Event()
        self._cancel_reason: str | None = None
        self._progress: tuple[float, str | None] | None = None
        self._noted = False
        self._lines: deque[Line] = deque()
        self._seq = 0
        self._logged = 0

    @property
    def task_id(self) -> str:
        return self._frame.task_id

    @property
    def task_type(self) -> str:
        return self._frame.task_type or ""

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._frame.attempt

    @property
    def repeatable(self) -> bool:
        return self._frame.repeatable

    @property
    def requirements(self) -> Any:
        """The requirements as submitted."""
        return msgspec.json.decode(self._frame.requirements) if self._frame.requirements else {}

    @property
    def deadline(self) -> datetime | None:
        """When the task ends wherever it is; None means never."""
        return None if self._frame.deadline is None else datetime.fromisoformat(self._frame.deadline)

    @property
    def timeout_s(self) -> float | None:
        """How long this attempt may run; None means without limit."""
        return self._frame.timeout_s

    @property
    def cancelled(self) -> bool:
        """Whether the result is no longer wanted.

        Cancelled, timed out, given to somebody else, or the worker stops.
        """
        return self._cancelled.is_set()

    @property
    def cancel_reason(self) -> str | None:
        """Why it is cancelled; None while it is not."""
        return self._cancel_reason

    def raise_if_cancelled(self) -> None:
        """Raise `TaskCancelled` if the result is no longer wanted. Call it between steps of long work."""
        if self._cancelled.is_set():
            raise TaskCancelled(self._cancel_reason or "cancelled")

    def wait_cancelled(self, timeout_s: float) -> bool:
        """Sleep in a synchronous function, at most until it is cancelled; return whether it is."""
        return self._cancelled.wait(timeout_s)

    def progress(self, fraction: float, note: str | None = None) -> None:
        """Tell how far it is, 0 to 1, with a word about it. What lies behind an earlier report is ignored."""
        fraction = min(1.0, max(0.0, float(fraction)))
        if self._progress is None or fraction >= self._progress[0]:
            self._progress = (fraction, note)
            self._noted = True

    def log(self, line: str, *, level: str = "info") -> None:
        """Log a line.

        It can be read while the task runs and afterwards. Beyond 4 MiB an attempt's lines are dropped.
        """
        if self._logged > TASK_CHARACTERS:
            return
        for each in str(line).split("\n"):
            self._seq += 1
            self._logged += len(each)
            self._lines.append(Line(self._seq, each[:LINE_CHARACTERS], level, datetime.now(UTC)))

    def _cancel(self, reason: str) -> None:
        self._cancel_reason = reason
        self._cancelled.set()
