"""What one case says: a value with its unit, its share of the ceiling, and the figure to reach."""

from collections.abc import Sequence
from statistics import median

import msgspec


class Goal(msgspec.Struct, frozen=True):
    """A figure to reach: at least, or at most, `value`."""

    value: float
    at_least: bool = True

    def reached_by(self, value: float) -> bool:
        return value >= self.value if self.at_least else value <= self.value


class Figure(msgspec.Struct, frozen=True):
    """One row of the table. None means that the column says nothing about this case."""

    case: str
    value: float
    unit: str
    low: float
    high: float
    """Least and greatest round; `value` is their median."""
    of_ceiling: float | None = None
    """Share of the bare endpoint's rate, measured in turn with it."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    server_us: float | None = None
    """Processor time of the server for one operation, which a busy machine does not change."""
    goal: Goal | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        return None if self.goal is None else self.goal.reached_by(self.value)


def figure(case: str, unit: str, rounds: Sequence[float], goal: Goal | None = None, note: str = "") -> Figure:
    """Make the plain row of a case from its rounds."""
    return Figure(case, median(rounds), unit, min(rounds), max(rounds), goal=goal, note=note)


def failed(case: str, why: str) -> Figure:
    """Make the row of a case that could not be measured."""
    return Figure(case, 0.0, "", 0.0, 0.0, note=f"failed: {why[:300]}", goal=Goal(1.0))


def skipped(case: str, why: str) -> Figure:
    """Make the row of a case that this machine has nothing for."""
    return Figure(case, 0.0, "", 0.0, 0.0, note=f"skipped: {why}")
