"""The load that a worker reports: of its machine, as percentages, and of itself, as a count.

Read from /proc where there is one (Linux), else from the load average; what cannot be had is left out.
"""

from __future__ import annotations

import os
from pathlib import Path

_STAT = Path("/proc/stat")
_MEMORY = Path("/proc/meminfo")


class LoadMeter:
    """Measures the processor's use between two readings."""

    def __init__(self) -> None:
        self._last = _ticks()

    def read(self, active_tasks: int) -> dict[str, float]:
        """Return `cpu_usage` and `memory_usage` in percent, and the number of tasks in hand."""
        load = {"active_tasks": float(active_tasks)}
        processor = self._processor()
        if processor is not None:
            load["cpu_usage"] = round(processor, 1)
        memory = _memory()
        if memory is not None:
            load["memory_usage"] = round(memory, 1)
        return load

    def _processor(self) -> float | None:
        last, self._last = self._last, _ticks()
        if last is None or self._last is None:
            try:
                return min(100.0, 100.0 * os.getloadavg()[0] / (os.cpu_count() or 1))
            except OSError:
                return None
        busy, total = (now - before for now, before in zip(self._last, last, strict=True))
        return 100.0 * busy / total if total > 0 else 0.0


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
