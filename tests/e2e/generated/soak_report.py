"""Keeps what the long campaign counted in `bench/schemathesis.md`: a row a part, and their sum."""

import re
from pathlib import Path
from typing import Any

from e2e.generated.parts import PARTS, Part

FILE = Path(__file__).parents[3] / "bench" / "schemathesis.md"
HEAD = """\
# Generated requests

Written by `make soak`: schemathesis {version}, all checks and phases (examples, coverage, fuzzing, stateful),
each row against a fresh server with the sandbox's cluster, on SQLite unless it says otherwise. A row is one
caller; it is written only when there was no failure: no 5xx that is not documented, no undocumented status,
header or shape, nothing accepted that the description forbids, and no fault in the server's log.

| caller | seed | operations | cases | failures | s |
|---|---:|---:|---:|---:|---:|
"""


def record(part: Part, report: dict[str, Any], seconds: float) -> None:
    """Put a part's row in the place of its last one."""
    rows = dict(re.findall(r"^\| ([^|]+) (\| .*)$", FILE.read_text(), re.MULTILINE))
    counts = report["operations"]["tested"], report["test_cases"]["generated"]
    rows[part.name] = f"| {part.seed} | {counts[0]} | {counts[1]:,} | 0 | {seconds:.0f} |"
    known = [(one.name, rows[one.name]) for one in PARTS if one.name in rows]
    cells = [[int(cell.replace(",", "")) for cell in row.split("|")[1:-1]] for _, row in known]
    cases, time_s = sum(row[2] for row in cells), sum(row[4] for row in cells)
    lines = [*(f"| {name} {row}" for name, row in known), f"| all | | | {cases:,} | 0 | {time_s} |"]
    FILE.write_text(HEAD.format(version=report["schemathesis_version"]) + "\n".join(lines) + "\n")
