"""Keeps generated requests from waiting: a long poll of 60 s is valid, and would be most of the run."""

import contextlib
from typing import Any

import schemathesis

LONGEST_WAIT_S = 0.02
LONGEST_DEPLOYMENT_S = 3_600
"""How long the answer to a deployment may wait, as described."""


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Shorten valid waits only; what is out of range stays as it was drawn."""
    for part in (case.body, case.query):
        for name in ("wait_s", "wait"):
            if isinstance(part, dict) and name in part:
                part[name] = shortened(part[name])
        if isinstance(part, dict) and part.get("timeoutSeconds"):
            part["timeoutSeconds"] = shortened(part["timeoutSeconds"], LONGEST_DEPLOYMENT_S)
        if isinstance(part, dict) and part.get("mode") == "sync":
            part.setdefault("wait", LONGEST_WAIT_S)


def shortened(wait_s: object, longest_s: float = 60) -> object:
    if isinstance(wait_s, str):
        with contextlib.suppress(ValueError):
            return shortened(float(wait_s), longest_s)
    is_number = isinstance(wait_s, int | float) and not isinstance(wait_s, bool)
    if is_number and LONGEST_WAIT_S < wait_s <= longest_s:
        return LONGEST_WAIT_S
    return wait_s
