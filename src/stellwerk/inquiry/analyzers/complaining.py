"""Which lines of a log count now: the last ones, and none after which the program says that all is well."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.model import LogText
from stellwerk.release.conditions import condition
from stellwerk.release.objects import Body

LINES_UNWELL, LINES_WELL = 60, 8
"""Of a pod that is not ready, and of one that is: what it wrote long ago may have passed."""
COMPLAINT = re.compile(
    r"error|fatal|emerg|unsupported|illegal|enotfound|eai_again|panic|exception|fail"
    r"|cannot|can't|could not|unable|denied|refused"
    r"|invalid|missing|timed? ?out"
    r"|not (?:set|found|defined|allowed|permitted|supported|ready)|unset|unknown"
    r"|unrecogni|forbidden|unreachable"
    r"|bad address|no such|must be|required|unauthori|permission|read-only|no space|unexpected|malformed"
    r"|unresponsive|waiting for|no route|exhausted|reset by peer|parameter",
    re.IGNORECASE,
)
_RECOVERED = re.compile(
    r"\b(?:re-?connected|recovered|connected to|connection established|succeeded"
    r"|healthy|is back|is up|now ready)\b",
    re.IGNORECASE,
)


def complaints(facts: Facts, pod: Body) -> Iterator[tuple[LogText, str]]:
    """List the lines in which a pod complains of something that is not over, the latest first."""
    lines_kept = LINES_WELL if condition(pod, "Ready").holds else LINES_UNWELL
    for log in sorted(facts.logs(pod), key=lambda one: one.previous):
        if log.previous and condition(pod, "Ready").holds:
            continue
        for line in reversed(log.text.splitlines()[-lines_kept:]):
            if _RECOVERED.search(line) and not re.search(r"\b(?:not|never|fail)", line, re.IGNORECASE):
                break
            if COMPLAINT.search(line):
                yield log, line
