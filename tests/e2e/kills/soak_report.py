"""Writes what the long campaigns counted to `bench/kills.md`, an engine a section."""

from collections import Counter
from pathlib import Path

from e2e.kills.campaign import Report
from e2e.kills.checker import runs
from e2e.kills.evidence import Evidence

FILE = Path(__file__).parents[3] / "bench" / "kills.md"
INTRODUCTION = """\
# Kills

Written by `make soak`. A round is two to three seconds of load in which the server and the three workers
are killed with SIGKILL at seeded moments and started again at once; ten rounds share one data directory.
Afterwards everything that was acknowledged must be finished, nothing completed twice, nothing
unrepeatable run twice, every acknowledged result kept, and the journal, the tables and the API must tell
one legal story (`tests/e2e/kills/checker.py`).
"""
HEAD = """\
| seed | rounds | server kills | worker kills | acknowledged | tasks | runs begun | runs cut off | \
succeeded | failed, lost | faults | s |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


class Table:
    """One section of a report: a row a campaign, and their sums."""

    def __init__(self, file: Path, introduction: str, head: str, section: str) -> None:
        self.file = file
        self.introduction = introduction
        self.head = head
        self.section = section
        self.rows: list[list[int]] = []

    def write(self) -> None:
        """Replace this section of the file."""
        sums = ["all", *(sum(column) for column in list(zip(*self.rows, strict=True))[1:])]
        lines = [
            f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |"
            for row in [[str(row[0]), *row[1:]] for row in self.rows] + [sums]
        ]
        sections = read_sections(self.file)
        sections[self.section] = "\n".join([self.head, *lines])
        text = "".join(f"\n## {name}\n\n{body}\n" for name, body in sorted(sections.items()))
        self.file.write_text(self.introduction + text)


class Soak(Table):
    """One engine's campaigns; only campaigns without a fault get here, the others end the test."""

    def __init__(self, engine: str) -> None:
        super().__init__(FILE, INTRODUCTION, HEAD, engine)

    def add(self, seed: int, report: Report, evidence: Evidence, seconds: float) -> None:
        """Count one campaign."""
        done = runs(evidence.executions)
        states = Counter(task.state for task in evidence.table_tasks.values())
        self.rows.append(
            [
                seed,
                report.rounds,
                report.kills["server"],
                report.kills["worker"],
                len(evidence.acknowledged),
                len(evidence.table_tasks),
                done["begin"],
                done["begin"] - done["end"],
                states["succeeded"],
                states["failed"],
                0,
                round(seconds),
            ]
        )


def read_sections(file: Path) -> dict[str, str]:
    """Return the tables of a file by section."""
    if not file.exists():
        return {}
    parts = file.read_text().split("\n## ")[1:]
    return {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in parts}
