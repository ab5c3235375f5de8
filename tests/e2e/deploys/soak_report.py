"""Writes what the long campaigns counted to `bench/deploy-kills.md`."""

from collections import Counter
from pathlib import Path

from e2e.deploys.campaign import Report
from e2e.deploys.evidence import Evidence
from e2e.kills.soak_report import Table

FILE = Path(__file__).parents[3] / "bench" / "deploy-kills.md"
INTRODUCTION = """\
# Kills in the middle of operations

Written by `make soak`. Four instances of one application on a real cluster, each in a namespace of its own
among objects that are not ours, are brought from state to state by forty operations, while the server is
killed with SIGKILL at seeded moments and started again at once. Afterwards every operation must have ended or
be reported interrupted, the services must be as the last orders say, both copies of the inventory must list
exactly what is there, and nothing foreign may have been touched (`tests/e2e/deploys/checker.py`).
"""
HEAD = """\
| seed | kills | operations | cut off and gone on with | runs begun | succeeded | interrupted | \
objects at the end | foreign objects | faults | s |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


class Soak(Table):
    """The campaigns; only those without a fault get here, the others end the test."""

    def __init__(self) -> None:
        super().__init__(FILE, INTRODUCTION, HEAD, "Kubernetes, SQLite")

    def add(self, seed: int, report: Report, evidence: Evidence, seconds: float) -> None:
        """Count one campaign."""
        states = Counter(one.state for one in evidence.operations)
        self.rows.append(
            [
                seed,
                report.kills,
                len(evidence.operations),
                report.cut_off,
                sum(one.attempt for one in evidence.operations),
                states["succeeded"],
                states["interrupted"],
                sum(map(len, evidence.ours.values())),
                len(evidence.foreign_after),
                0,
                round(seconds),
            ]
        )
