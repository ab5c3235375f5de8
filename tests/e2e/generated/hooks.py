"""Keeps generated requests from waiting: a long poll of 60 s is valid, and would be most of the run."""

import contextlib
from typing import Any

import schemathesis

LONGEST_WAIT_S = 0.02
LONGEST_S = {"wait_s": 60, "wait": 600, "timeoutSeconds": 3_600}
"""How long an answer may wait, as described at most: for tasks, restarts, and deployments."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Shorten valid waits only; what is out of range stays as it was drawn."""
    for part in (case.body, case.query):
        for name, longest_s in LONGEST_S.items():
            if isinstance(part, dict) and part.get(name):
                part[name] = shortened(part[name], longest_s)
        if isinstance(part, dict) and part.get("mode") == "sync":
            part.setdefault("wait", LONGEST_WAIT_S)


def shortened(wait_s: object, longest_s: float) -> object:
    if isinstance(wait_s, str):
        with contextlib.suppress(ValueError):
            return shortened(float(wait_s), longest_s)
    is_number = isinstance(wait_s, int | float) and not isinstance(wait_s, bool)
    if is_number and LONGEST_WAIT_S < wait_s <= longest_s:
        return LONGEST_WAIT_S
    return wait_s
