"""What the machine is busy with, in percent: processor, memory, and the disk that the agent writes to.

Read from /proc where there is one; what cannot be had is left out.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

SHORTEST_TICKS = 100
"""Over less than this, a second of one processor, the use says nothing."""


class LoadMeter:
    """Measures between two readings."""

    def __init__(self, disk: Path, proc: Path = Path("/proc")) -> None:
        self._disk = disk
        self._proc = proc
        self._since = self._ticks()
        self._cpu: float | None = None

    def read(self) -> dict[str, float]:
        """Return `cpu`, `memory` and `disk` in percent."""
        measured = {"cpu": self._processor(), "memory": self._memory(), "disk": self._full()}
        return {name: round(value, 1) for name, value in measured.items() if value is not None}

    def _processor(self) -> float | None:
        now = self._ticks()
        if now is None:
            return _from_load_average()
        if self._since is None:
            self._since = now
            return None
        busy, total = now[0] - self._since[0], now[1] - self._since[1]
        if total < SHORTEST_TICKS:
            return self._cpu
        self._since = now
        self._cpu = max(0.0, min(100.0, 100.0 * busy / total))
        return self._cpu

    def _ticks(self) -> tuple[int, int] | None:
        try:
            line = (self._proc / "stat").read_text().split("\n", 1)[0]
            fields = [int(word) for word in line.split()[1:9]]
            return sum(fields) - fields[3] - fields[4], sum(fields)
        except (OSError, ValueError, IndexError):
            return None

    def _memory(self) -> float | None:
        try:
            text = (self._proc / "meminfo").read_text()
            lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
        except (OSError, ValueError, KeyError, IndexError):
            return None
        return 100.0 * (1.0 - available / total) if total else None

    def _full(self) -> float | None:
        try:
            usage = shutil.disk_usage(self._disk)
        except OSError:
            return None
        return 100.0 * (1.0 - usage.free / usage.total) if usage.total else None


def _from_load_average() -> float | None:
    try:
        return min(100.0, 100.0 * os.getloadavg()[0] / (os.cpu_count() or 1))
    except OSError:
        return None
