"""Why an object does not get well."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from stellwerk.release.objects import Key

GRACE = timedelta(seconds=20)
"""What may still come by itself, in any order, counts as missing only after so long: a node, a Secret."""
LINE_CHARACTERS = 300
"""Of a log's last line: enough for a message, too little for a dump."""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where the last words of a container are."""

    namespace: str
    pod: str
    container: str
    previous: bool


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an object does not get well."""

    code: str
    """One word: `ImagePullBackOff`, `OOMKilled`, `Unschedulable`, `MissingConfigMap` …"""
    message: str
    certain: bool
    """Whether waiting any longer is of no use."""
    object: Key
    """Where it shows: the pod, or the object itself."""
    log: LogPlace | None = None
    """Where more is to be read; None if a log says nothing about it."""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


def with_log(reason: Reason, log: str) -> Reason:
    """Add the last line of the log that the reason asks for, if it has one."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if not lines:
        return reason
    return replace(reason, message=f"{reason.message}; last line: {lines[-1][:LINE_CHARACTERS]}", log=None)


def overdue(since: datetime | None, now: datetime) -> bool:
    """Whether what may still come by itself has been missing for too long;

    None for a time that is unknown.
    """
    return since is not None and now - since >= GRACE
