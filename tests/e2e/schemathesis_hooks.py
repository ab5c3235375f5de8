"""Keeps generated requests from waiting: a long poll of 60 s is valid, and would be most of the run."""

import contextlib
from typing import Any

import schemathesis

LONGEST_WAIT_S = 0.02


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Shorten valid waits only; what is out of range stays as it was drawn."""
    for part in (case.body, case.query):
        for name in ("wait_s", "wait"):
            if isinstance(part, dict) and name in part:
                part[name] = shortened(part[name])
        if isinstance(part, dict) and part.get("mode") == "sync":
            part.setdefault("wait", LONGEST_WAIT_S)


def shortened(wait_s: object) -> object:
    if isinstance(wait_s, str):
        with contextlib.suppress(ValueError):
            return shortened(float(wait_s))
    if isinstance(wait_s, int | float) and not isinstance(wait_s, bool) and LONGEST_WAIT_S < wait_s <= 60:
        return LONGEST_WAIT_S
    return wait_s
