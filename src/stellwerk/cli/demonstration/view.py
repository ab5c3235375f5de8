"""What the demo shows: a live table on a terminal, lines elsewhere, and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live as LiveDisplay
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stellwerk.cli.demonstration.figures import Live, Summary

LINES = 6
REFRESH_PER_S = 8


class View:
    """Shows a run while it goes on. Milestones stay visible in both forms."""

    def __init__(self, console: Console, live: Live, workers: dict[str, str]) -> None:
        self._console = console
        self._live = live
        self._workers = workers
        self._milestones: list[str] = []
        self._ended = False
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Show a milestone."""
        line = f"{time.monotonic() - self._began:6.2f} s  {text}"
        self._milestones.append(line)
        if self._ended or not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the live view on the screen, if there is one."""
        if not self._console.is_terminal:
            yield
            return
        with LiveDisplay(
            get_renderable=self._render, console=self._console, refresh_per_second=REFRESH_PER_S
        ):
            yield
        self._ended = True

    def _render(self) -> RenderableType:
        live = self._live
        table = Table("worker", "can do", "in hand", "done", box=None, pad_edge=False)
        holding = list(live.in_hand.values())
        for name, able in self._workers.items():
            table.add_row(name, able, str(holding.count(name)), str(live.done_by[name]))
        waiting = max(0, live.submitted - live.finished - len(live.in_hand))
        counts = (
            f"{live.finished} of {live.wanted} done · {live.submitted} submitted · {waiting} waiting · "
            f"{live.given_again} given again · {live.failed} failed"
        )
        bar = ProgressBar(total=live.wanted, completed=live.finished)
        return Group(
            table, bar, Text(counts), *(Text(line, style="dim") for line in self._milestones[-LINES:])
        )


def print_summary(console: Console, summary: Summary) -> None:
    """Print the figures of a finished run."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(justify="left")
    table.add_column(justify="left")
    per_worker = ", ".join(f"{name} {count}" for name, count in summary.per_worker.items())
    rows = {
        "submitted": str(summary.submitted),
        "completed": str(summary.completed),
        "failed": str(summary.failed),
        "lost": str(summary.lost),
        "retried": f"{summary.retried} (failed once on purpose, or taken from the killed worker)",
        "results checked": f"{summary.checked_results}, {summary.wrong_results} wrong",
        "per worker": per_worker,
        "throughput": f"{summary.tasks_per_s:,.0f} tasks/s over {summary.took_s:.2f} s",
        "submit to result": _spread(summary.latency_p50_s, summary.latency_p99_s),
        "submit to worker": _spread(summary.delivery_p50_s, summary.delivery_p99_s),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table, highlight=False)
    verdict = "Nothing was lost." if summary.flawless else "NOT every task brought its result."
    console.print(Text(verdict, style="bold green" if summary.flawless else "bold red"))


def _spread(p50_s: float, p99_s: float) -> str:
    return f"p50 {p50_s * 1e3:.0f} ms, p99 {p99_s * 1e3:.0f} ms"
