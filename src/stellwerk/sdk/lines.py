"""Log lines of one attempt on their way out, and again after a broken connection.

Theory of operation. Nobody acknowledges lines, so what was sent shortly before a connection broke may be
lost. Lines that were sent lately are kept and said again on the next connection; they carry numbers, and the
server keeps a number once. A dead connection is found out by pings within half a minute, so lines are kept a
little longer than that, up to a bound of memory; beyond it, lines can be lost. While there is no connection
they stay with the function, which stops noting them at the limit of an attempt.
"""

from __future__ import annotations

from collections import deque

from stellwerk.sdk.exchange import Exchange
from stellwerk.sdk.wire import Line

LINES_A_FRAME = 500
CHARACTERS_A_FRAME = 262_144
KEPT_S = 45.0
KEPT_CHARACTERS = 524_288


class Lines:
    """See the module. Used on the event loop only; the function appends to `exchange.lines` meanwhile."""

    __slots__ = ("_again", "_exchange", "_kept", "_sent")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._again: deque[Line] = deque()
        self._sent: deque[tuple[float, Line]] = deque()
        self._kept = 0

    def take(self, now: float) -> list[Line]:
        """Return the lines of the next frame, none if there are none; `now` is the event loop's time."""
        lines: list[Line] = []
        size = 0
        while len(lines) < LINES_A_FRAME and size < CHARACTERS_A_FRAME:
            source = self._again or self._exchange.lines
            if not source:
                break
            lines.append(source.popleft())
            size += len(lines[-1].line)
        self._keep(lines, size, now)
        return lines

    def recall(self) -> None:
        """Say again what was sent lately: the connection broke."""
        self._again = deque((*(line for _, line in self._sent), *self._again))
        self._sent.clear()
        self._kept = 0

    def _keep(self, lines: list[Line], size: int, now: float) -> None:
        self._sent.extend((now, line) for line in lines)
        self._kept += size
        while self._sent and (self._kept > KEPT_CHARACTERS or self._sent[0][0] < now - KEPT_S):
            self._kept -= len(self._sent.popleft()[1].line)
