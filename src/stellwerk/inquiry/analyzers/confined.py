"""Programs that meet a boundary: a read-only file system, a user without rights, a full disk."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.complaining import complaints
from stellwerk.inquiry.analyzers.quoting import log_said, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.templates import container_named, pod_spec
from stellwerk.release.conditions import condition, part

_SAID = (
    (
        "SecurityContextDenied",
        re.compile(r"read-only file system|EROFS", re.IGNORECASE),
        "writes to a file system that is read-only",
    ),
    (
        "SecurityContextDenied",
        re.compile(r"permission denied|operation not permitted|EACCES|EPERM", re.IGNORECASE),
        "is not permitted what it does",
    ),
    (
        "StorageFull",
        re.compile(r"no space left on device|ENOSPC|disk quota exceeded", re.IGNORECASE),
        "has no space left",
    ),
    (
        "MemoryExhausted",
        re.compile(
            r"OutOfMemoryError|cannot allocate memory|out of memory|ENOMEM|heap out of memory", re.IGNORECASE
        ),
        "has no memory left",
    ),
    ("FilesExhausted", re.compile(r"too many open files|EMFILE", re.IGNORECASE), "has too many files open"),
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find programs that meet a boundary of their container."""
    for workload in facts.workloads:
        told: set[str] = set()
        for pod in facts.pods(workload):
            if condition(pod, "Ready").holds:
                continue
            for log, line in complaints(facts, pod):
                for code, pattern, what in _SAID:
                    if pattern.search(line) and code not in told:
                        told.add(code)
                        context = part(pod_spec(workload), "securityContext") | part(
                            container_named(workload, log.container), "securityContext"
                        )
                        seen = (
                            log_said(log, line),
                            *((said(workload, f"securityContext {context}"),) if context else ()),
                        )
                        yield Clue(
                            code,
                            ref_of(pod),
                            f"container {log.container} {what}: {line.strip()[:160]}",
                            seen,
                            facts={"container": log.container},
                            strength=0.88,
                        )
