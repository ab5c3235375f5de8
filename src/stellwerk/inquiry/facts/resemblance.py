"""Which names were meant: a selector, a host or a backend that nearly names something that is there."""

from collections.abc import Iterable
from difflib import SequenceMatcher

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.templates import labels_of
from stellwerk.release.conditions import part
from stellwerk.release.objects import Body

NEAR = 0.8
"""Of two names, the share of letters in common: `backnd` and `backend` have 0.92, `web` and `db` 0.4."""


def nearest(name: str, others: Iterable[str]) -> str | None:
    """Return the name that was probably meant; None if none is near."""
    best = max(others, key=lambda other: alike(name, other), default=None)
    return best if best is not None and best != name and alike(name, best) >= NEAR else None


def alike(one: str, other: str) -> float:
    """Return how alike two names are, from 0 to 1."""
    return SequenceMatcher(None, one, other).ratio()


def meant_by(service: Body, facts: Facts) -> list[Body]:
    """List the workloads that a Service which selects nothing was probably meant for."""
    selector: dict[str, str] = part(service, "spec").get("selector") or {}
    ref = ref_of(service)
    near = []
    for workload in facts.workloads:
        own = ref_of(workload)
        if (
            own.namespace == ref.namespace
            and selector
            and (own.name == ref.name or _nearly(selector, labels_of(workload)))
        ):
            near.append(workload)
    exact = [body for body in near if ref_of(body).name == ref.name]
    return exact or near


def _nearly(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether labels have the names of a selector (or nearly), and values that are the same or nearly so."""
    for name, value in selector.items():
        found = labels.get(name)
        if found is None:
            other = nearest(name, labels)
            found = labels.get(other) if other else (value if value in labels.values() else None)
        if found is None or (found != value and alike(found, value) < NEAR):
            return False
    return True
