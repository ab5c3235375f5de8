"""Keeps generated requests from waiting: a long poll of 60 s is valid, and would be most of the run."""

import contextlib
from typing import Any

import schemathesis

LONGEST_WAIT_S = 0.02


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Shorten valid waits only; what is out of range stays as it was drawn."""
    for part in (case.body, case.query):
        if isinstance(part, dict) and "wait_s" in part:
            part["wait_s"] = shortened(part["wait_s"])


def shortened(wait_s: object) -> object:
    if isinstance(wait_s, str):
        with contextlib.suppress(ValueError):
            return shortened(float(wait_s))
    if isinstance(wait_s, int | float) and not isinstance(wait_s, bool) and LONGEST_WAIT_S < wait_s <= 60:
        return LONGEST_WAIT_S
    return wait_s
