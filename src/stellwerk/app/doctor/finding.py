"""What the doctor found: one line about one thing."""

from enum import StrEnum
from typing import Self

import msgspec


class State(StrEnum):
    """How it is with a thing."""

    OK = "ok"
    WARN = "warn"
    """A server starts, but somebody should look."""
    FAIL = "fail"
    """A server does not start, or does not do what it was set up for."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was looked at. Never holds a secret."""

    check: str
    """What was looked at, as `database.migrations`."""
    state: State
    detail: str
    advice: str = ""
    """What to do; empty where nothing needs doing."""

    @classmethod
    def ok(cls, check: str, detail: str) -> Self:
        """All is well."""
        return cls(check=check, state=State.OK, detail=detail)

    @classmethod
    def warn(cls, check: str, detail: str, advice: str) -> Self:
        """Somebody should look."""
        return cls(check=check, state=State.WARN, detail=detail, advice=advice)

    @classmethod
    def fail(cls, check: str, detail: str, advice: str) -> Self:
        """It does not work."""
        return cls(check=check, state=State.FAIL, detail=detail, advice=advice)


def worst(findings: list[Finding]) -> State:
    """Return the worst state of all."""
    order = list(State)
    return max((one.state for one in findings), key=order.index, default=State.OK)
