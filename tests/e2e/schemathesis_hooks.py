"""Keeps generated requests from waiting: a long poll of 60 s is valid, and would be most of the run."""

from typing import Any

import schemathesis

LONGEST_WAIT_S = 0.02


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Shorten valid waits only; what is out of range stays as it was drawn."""
    for part in (case.body, case.query):
        wait_s = part.get("wait_s") if isinstance(part, dict) else None
        valid = isinstance(wait_s, int | float) and not isinstance(wait_s, bool)
        if valid and LONGEST_WAIT_S < wait_s <= 60:
            part["wait_s"] = LONGEST_WAIT_S
