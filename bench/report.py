"""Writes the table, with the shape of the machine and without its name or paths."""

import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure

INTRODUCTION = """\
# Results

Written by `make bench`. One server process on SQLite with every commit fsynced, the load generator and the
workers on the same machine; the median of {rounds} rounds, least and greatest beside it. *Of ceiling* is the
share of what a bare ASGI endpoint answers on the same HTTP server with the same flags, measured in turn with
the case. *Server CPU* is the processor time that the server spends on one operation; unlike the rates, a busy
machine does not change it much.
"""

HEAD = """\
| case | median | least – greatest | of ceiling | p50 ms | p99 ms | server CPU | to reach | |
|---|---:|---:|---:|---:|---:|---:|---:|---|"""


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def fsync_ms(folder: Path) -> float:
    """Measure the median of one appended 4 KiB page with fdatasync."""
    times = []
    with (folder / "fsync.probe").open("wb", buffering=0) as probe:
        for _ in range(200):
            started = time.perf_counter()
            probe.write(b"\0" * 4096)
            os.fdatasync(probe.fileno())
            times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2] * 1e3


class Steal:
    """The share of processor time that the host took from this machine since the beginning of the run."""

    def __init__(self) -> None:
        self.stolen, self.total = self.read()

    def read(self) -> tuple[int, int]:
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return fields[7], sum(fields)

    def share(self) -> float:
        stolen, total = self.read()
        return (stolen - self.stolen) / max(1, total - self.total)


def machine(folder: Path, steal: Steal) -> str:
    return (
        f"Machine: {os.cpu_count()} × {processor()}, {memory_gib():.0f} GiB, "
        f"Linux {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; "
        f"one fdatasync of 4 KiB takes {fsync_ms(folder):.2f} ms; "
        f"{steal.share():.0%} of the processors' time was taken by the host meanwhile."
    )


def table(figures: Sequence[Figure]) -> str:
    """Render the rows as a Markdown table."""
    lines = [HEAD, *map(row, figures)]
    notes = [f"- {figure.case}: {figure.note}" for figure in figures if figure.note]
    return "\n".join(lines) + ("\n\n" + "\n".join(notes) if notes else "") + "\n"


def row(figure: Figure) -> str:
    goal = figure.goal
    cells = [
        figure.case,
        f"{number(figure.value)} {figure.unit}",
        f"{number(figure.low)} – {number(figure.high)}",
        "" if figure.of_ceiling is None else f"{figure.of_ceiling:.0%}",
        "" if figure.p50_ms is None else f"{figure.p50_ms:.2f}",
        "" if figure.p99_ms is None else f"{figure.p99_ms:.2f}",
        "" if figure.server_us is None else f"{figure.server_us:.0f} µs",
        "" if goal is None else f"{'≥' if goal.at_least else '≤'} {number(goal.value)}",
        {True: "reached", False: "**missed**", None: ""}[figure.reached],
    ]
    return "| " + " | ".join(cells) + " |"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def document(figures: Sequence[Figure], shape: str, rounds: int) -> str:
    return INTRODUCTION.format(rounds=rounds) + f"\n{shape}\n\n{table(figures)}"
