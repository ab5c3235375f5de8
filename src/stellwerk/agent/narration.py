"""What a running task tells, on its way to the server: masked, numbered, thinned out.

Progress never goes back and is told at most twice a second, the last word always. Log lines are numbered from
0, so that the server can put those of the stream and those of the completion together. Too many or too long
ones are cut with a mark that says so. The last lines are kept, to go with the completion if the stream was
broken meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from stellwerk.agent.clock import Clock, timestamp
from stellwerk.agent.masking import Masks

Say = Callable[[dict[str, Any]], None]

LEVELS = frozenset({"debug", "info", "warning", "error"})
PROGRESS_PAUSE_S = 0.5
MESSAGE_CHARACTERS = 1000
LINE_CHARACTERS = 8000
"""The server takes 8 KiB a line."""
TASK_CHARACTERS = 4 * 1_048_576
LINES_PER_S = 200.0
BURST = 1000.0
KEPT_LINES = 1000
"""As many as a completion may carry."""
RESTART_STEP = 1_000_000
"""Numbers of lines after a restart begin here: those of the former process are not known exactly."""


class Narration:
    """The report of one task; `say` puts a message on the task-stream if there is one."""

    def __init__(self, task_id: str, masks: Masks, say: Say, clock: Clock, restarts: int = 0) -> None:
        self.lines: deque[dict[str, Any]] = deque(maxlen=KEPT_LINES)
        self.percent = 0
        self._task_id = task_id
        self._masks = masks
        self._say = say
        self._clock = clock
        self._seq = restarts * RESTART_STEP
        self._characters = 0
        self._allowance = BURST
        self._allowed_at: float | None = None
        self._dropped = 0
        self._message = ""
        self._timer: asyncio.TimerHandle | None = None
        self._told_at = -PROGRESS_PAUSE_S

    def progress(self, percent: int, message: str = "") -> None:
        """Tell how far the task is; see `Report`."""
        self.percent = max(self.percent, min(100, int(percent)))
        self._message = self._masks.hide(message)[:MESSAGE_CHARACTERS]
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait_s = max(0.0, self._told_at + PROGRESS_PAUSE_S - loop.time())
            self._timer = loop.call_later(wait_s, self._tell)

    def log(self, level: str, message: str) -> None:
        """Tell a line, or several; see `Report`."""
        named = level if level in LEVELS else "info"
        # Masked before it is split: a secret may have line ends.
        for line in self._masks.hide(message).splitlines() or [""]:
            self._line(named, line)

    def close(self) -> None:
        """Tell what is still to be told."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell()
        if self._dropped:
            self._emit("warning", self._mark())

    def _tell(self) -> None:
        self._timer = None
        self._told_at = asyncio.get_running_loop().time()
        self._say({"type": "task_progress", "progress": self.percent, "message": self._message})

    def _line(self, level: str, line: str) -> None:
        if self._characters > TASK_CHARACTERS:
            return
        if not self._allowed():
            self._dropped += 1
            return
        if self._dropped:
            self._emit("warning", self._mark())
        if len(line) > LINE_CHARACTERS:
            line = f"{line[:LINE_CHARACTERS]}… [{len(line) - LINE_CHARACTERS} characters cut]"
        self._emit(level, line)
        self._characters += len(line)
        if self._characters > TASK_CHARACTERS:
            self._emit("warning", f"[the log ends here: more than {TASK_CHARACTERS} characters]")

    def _mark(self) -> str:
        dropped, self._dropped = self._dropped, 0
        return f"[{dropped} lines dropped: more than {LINES_PER_S:g} a second]"

    def _allowed(self) -> bool:
        now = asyncio.get_running_loop().time()
        since = now if self._allowed_at is None else self._allowed_at
        self._allowance = min(BURST, self._allowance + (now - since) * LINES_PER_S)
        self._allowed_at = now
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True

    def _emit(self, level: str, line: str) -> None:
        at = timestamp(self._clock.now_us())
        self.lines.append({"seq": self._seq, "timestamp": at, "level": level, "message": line})
        self._say({"type": "task_log", **self.lines[-1]})
        self._seq += 1
