"""Writes what the long campaigns counted to `bench/chaos.md`, a scenario a section."""

from collections import Counter
from statistics import median

from e2e.chaos.campaign import Report
from e2e.chaos.evidence import ChaosEvidence
from e2e.kills import soak_report
from e2e.kills.checker import runs

FILE = soak_report.FILE.with_name("chaos.md")
INTRODUCTION = """\
# Chaos

Written by `make soak`. Servers, workers, database and whatever stands between them fail at seeded moments,
under load and again and again; callers go on submitting, workers go on working, and a reader follows the
journal all the while. Afterwards (`tests/e2e/chaos/checker.py`) nothing acknowledged may be missing, nothing
unrepeatable may have begun twice by the workers' own books, no lease may have been held twice, no row may be
an orphan, the reader must have been told every event once and in order, and no caller may have waited longer
than the scenario allows. Only campaigns without a fault of ours get here; the others end the test.
"""
HEAD = """\
| seed | what failed | kills | acknowledged | tasks | runs begun | runs cut off | failed, lost | events | \
reader interrupted | lost | doubled | half of callers within s | all within s | took s |
|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


class Soak:
    """The campaigns of one scenario."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.struck: Counter[str] = Counter()
        self.counts: list[list[int]] = []
        self.waits: list[tuple[float, float]] = []
        self.lines: list[str] = []
        self.seconds = 0.0

    @property
    def kills(self) -> int:
        return sum(counts[0] for counts in self.counts)

    def add(self, report: Report, evidence: ChaosEvidence) -> None:
        """Count one campaign that the checker found nothing in, and write the report."""
        shared = evidence.shared
        done = runs(shared.executions)
        states = Counter(task.state for task in shared.table_tasks.values())
        counts = [
            report.kills,
            len(shared.acknowledged),
            len(shared.table_tasks),
            done["begin"],
            done["begin"] - done["end"],
            states["failed"],
            len(evidence.journal),
            report.interruptions,
            0,
            0,
        ]
        waits = (median(evidence.waits_s), max(evidence.waits_s))
        self.struck += report.faults
        self.counts.append(counts)
        self.waits.append(waits)
        self.lines.append(line(str(report.seed), report.faults, counts, waits, report.seconds))
        self.seconds += report.seconds
        self.write()

    def write(self) -> None:
        """Replace this scenario's section."""
        sums = [sum(column) for column in zip(*self.counts, strict=True)]
        worst = max(half for half, _ in self.waits), max(slowest for _, slowest in self.waits)
        last = line("all", self.struck, sums, worst, self.seconds)
        sections = soak_report.read_sections(FILE)
        sections[self.scenario] = "\n".join([HEAD, *self.lines, last])
        text = "".join(f"\n## {name}\n\n{body}\n" for name, body in sorted(sections.items()))
        FILE.write_text(INTRODUCTION + text)


def line(
    name: str, struck: Counter[str], counts: list[int], waits: tuple[float, float], seconds: float
) -> str:
    """Render one row."""
    failed = ", ".join(f"{count} × {fault}" for fault, count in struck.most_common())
    cells = [name, failed, *(f"{count:,}" for count in counts)]
    cells += [f"{waits[0]:.2f}", f"{waits[1]:.1f}", f"{seconds:,.0f}"]
    return f"| {' | '.join(cells)} |"
