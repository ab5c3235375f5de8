"""The load that a worker reports: of its machine, as percentages, and of itself, as a count.

Read from /proc where there is one (Linux), else from the load average; what cannot be had is left out.
"""

from __future__ import annotations

import os
from pathlib import Path

_STAT = Path("/proc/stat")
_MEMORY = Path("/proc/meminfo")


SHORTEST_TICKS = 100
"""Over less than this (a second of one processor) the use says nothing.

The start of Python alone would be 100 %.
"""


class LoadMeter:
    """Measures the processor's use between two readings; `since` are busy and total ticks to begin with."""

    def __init__(self, since: tuple[int, int] | None = None) -> None:
        self._since = since or _ticks()

    def read(self, active_tasks: int) -> dict[str, float]:
        """Return `cpu_usage` and `memory_usage` in percent, and the number of tasks in hand."""
        load = {"active_tasks": float(active_tasks)}
        measured = {"cpu_usage": self._processor(), "memory_usage": _memory()}
        return load | {name: round(value, 1) for name, value in measured.items() if value is not None}

    def _processor(self) -> float | None:
        now = _ticks()
        if now is None or self._since is None:
            return _from_load_average()
        busy, total = now[0] - self._since[0], now[1] - self._since[1]
        if total < SHORTEST_TICKS:
            return None
        self._since = now
        return 100.0 * busy / total


def _from_load_average() -> float | None:
    try:
        return min(100.0, 100.0 * os.getloadavg()[0] / (os.cpu_count() or 1))
    except OSError:
        return None


def _ticks() -> tuple[int, int] | None:
    """Return busy and total ticks of all processors since the start of the machine."""
    try:
        fields = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    total = sum(fields)
    return total - fields[3] - fields[4], total


def _memory() -> float | None:
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
        total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return None
    return 100.0 * (1.0 - available / total) if total else None
