"""Credentials that are refused: who holds them, and whether they changed after the other side began."""

import re
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue, Seen
from stellwerk.inquiry.analyzers.complaining import complaints
from stellwerk.inquiry.analyzers.quoting import log_said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.references import references_of
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.objects import Body

_REFUSED = re.compile(
    r"(?:password )?authentication failed|access denied for user|invalid "
    r"(?:credentials?|password|username|api key|token)|wrongpass|noauth|login failed"
    r"|\b401\b|unauthori[sz]ed|bad credentials|incorrect password|wrong password"
    r"|(?:credentials?|password|token) (?:rejected|refused|expired)",
    re.IGNORECASE,
)


def examine(facts: Facts) -> Iterator[Clue]:
    """Find programs whose credentials are refused."""
    for workload in facts.workloads:
        if clue := _of_workload(facts, workload):
            yield clue


def _of_workload(facts: Facts, workload: Body) -> Clue | None:
    for pod in facts.pods(workload):
        for log, line in complaints(facts, pod):
            if _REFUSED.search(line) and "system:serviceaccount" not in line:
                secrets = [ref for ref in dict.fromkeys(references_of(workload)) if ref.kind == "Secret"]
                changed = _changed_last(facts, secrets)
                blamed = changed[0] if changed else (secrets[0] if len(secrets) == 1 else None)
                seen: tuple[Seen, ...] = (log_said(log, line), *((changed[1],) if changed else ()))
                held = f"those of {blamed}" if blamed else "its credentials"
                return Clue(
                    "CredentialsRefused",
                    ref_of(pod),
                    f"{ref_of(workload)} is refused with {held}",
                    seen,
                    blames=(blamed,) if blamed else (),
                    facts={"container": log.container} | ({"secret": blamed.name} if blamed else {}),
                    strength=0.85 if changed else 0.7,
                )
    return None


def _changed_last(facts: Facts, secrets: list[ObjectRef]) -> tuple[ObjectRef, Seen] | None:
    changes = [one for ref in secrets for one in facts.changes(ref)]
    last = max(changes, key=lambda one: one.at, default=None)
    if last is None:
        return None
    return last.object, Seen("change", last.object, f"{last.by} {last.what}", last.at)
