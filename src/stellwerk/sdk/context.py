"""What a worker's function is handed: its task, and the way to say how it goes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from stellwerk.sdk.errors import TaskCancelled
from stellwerk.sdk.exchange import Exchange
from stellwerk.sdk.wire import Frame

Level = Literal["debug", "info", "warning", "error", "critical"]


class Context:
    """The handle of one attempt at a task.

    To be used by the function that got it, in its thread or coroutine.
    """

    __slots__ = ("_exchange", "_frame", "data")

    def __init__(self, frame: Frame, exchange: Exchange) -> None:
        self._frame = frame
        self._exchange = exchange
        self.data: Any = {} if frame.task_data is None else frame.task_data
        """The task's data as submitted, `task_type` included."""

    @property
    def task_id(self) -> str:
        """The task's id, as the submitter knows it."""
        return self._frame.task_id

    @property
    def task_type(self) -> str:
        """The task's type; empty when it was submitted without."""
        return self._frame.task_type or ""

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._frame.attempt

    @property
    def repeatable(self) -> bool:
        """Whether another attempt may be made if this one is lost or fails."""
        return self._frame.repeatable

    @property
    def requirements(self) -> Any:
        """The requirements as submitted."""
        raw = bytes(self._frame.requirements)
        return msgspec.json.decode(raw) if raw else {}

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
        """Whether to stop: cancelled, timed out, given to somebody else, or the worker ends."""
        return self._exchange.cancelled

    @property
    def cancel_reason(self) -> str | None:
        """Why it is cancelled; None while it is not."""
        return self._exchange.cancel_reason

    def raise_if_cancelled(self) -> None:
        """Raise `TaskCancelled` if the result is no longer wanted. Call it between steps of long work."""
        if self._exchange.cancelled:
            raise TaskCancelled(self._exchange.cancel_reason or "cancelled")

    def wait_cancelled(self, timeout_s: float) -> bool:
        """Sleep in a synchronous function, at most until it is cancelled; return whether it is."""
        return self._exchange.wait_cancelled(timeout_s)

    def progress(self, fraction: float, note: str | None = None) -> None:
        """Tell how far it is, 0 to 1, with a word about it.

        Going back is ignored. Cheap: sent a few times a second.
        """
        self._exchange.report(float(fraction), note)

    def log(self, line: str, *, level: Level = "info") -> None:
        """Log a line, to be read while the task runs and afterwards.

        Beyond 4 MiB an attempt's lines are dropped.
        """
        self._exchange.log(str(line), level)
