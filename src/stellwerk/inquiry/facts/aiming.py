"""Which objects a target means."""

import re

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.references import WORKLOADS
from stellwerk.inquiry.model import ObjectRef, Target

_MADE_NAME = re.compile(r"(?:-[a-z0-9]{1,10})?-[a-z0-9]{1,10}\Z")
"""What controllers add to a workload's name: a revision and five letters, a number, a time."""


def aims(facts: Facts, target: Target) -> list[ObjectRef]:
    """Return what is meant; for a pod that is gone, the workload that made it. Empty if unknown."""
    wanted = target.object
    ref = named(wanted.kind, wanted.namespace, wanted.name)
    body = facts.get(ref) or _other_spelling(facts, ref)
    if body is not None:
        return [ref_of(body)]
    if wanted.kind in {"Pod", "ReplicaSet", "Job"}:
        makers = [ref_of(one) for one in facts.workloads if _made(ref_of(one), ref)]
        return sorted(makers, key=lambda one: len(one.name), reverse=True)[:1]
    return []


def _made(maker: ObjectRef, made: ObjectRef) -> bool:
    rest = made.name.removeprefix(maker.name)
    return maker.namespace == made.namespace and rest != made.name and bool(_MADE_NAME.fullmatch(rest))


def _other_spelling(facts: Facts, ref: ObjectRef) -> dict[str, object] | None:
    """Find an object whose kind was written otherwise: `deployment`."""
    for kind in sorted(WORKLOADS):
        if kind.lower() == ref.kind.lower().removesuffix("s"):
            return facts.get(ref._replace(kind=kind))
    return None
