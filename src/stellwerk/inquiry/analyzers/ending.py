"""Objects that are to go and do not: a finalizer that nobody removes, or somebody who still needs them."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import condition_said, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.references import references_of
from stellwerk.release.conditions import condition, instant, part
from stellwerk.release.objects import Body

PATIENCE_S = 10.0
"""Controllers remove their finalizers within seconds."""
_IN_USE = {"kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"}


def examine(facts: Facts) -> Iterator[Clue]:
    """Find objects whose deletion does not end."""
    for body in facts.bundle.objects:
        metadata = part(body, "metadata")
        since = instant(metadata.get("deletionTimestamp"))
        if since is None or (facts.now - since).total_seconds() < PATIENCE_S:
            continue
        if body.get("kind") == "Namespace":
            yield _namespace(facts, body)
        elif finalizers := [str(one) for one in metadata.get("finalizers") or []]:
            yield _of(facts, body, finalizers)


def _of(facts: Facts, body: Body, finalizers: list[str]) -> Clue:
    ref = ref_of(body)
    quoted = said(
        body,
        f"deletionTimestamp {part(body, 'metadata')['deletionTimestamp']}, finalizers "
        f"{', '.join(finalizers)}",
    )
    if set(finalizers) <= _IN_USE:
        users = tuple(ref_of(one) for one in facts.workloads if ref in set(references_of(one)))
        if users:
            seen = (quoted, *(said(user, f"uses {ref}") for one in users[:2] if (user := facts.get(one))))
            return Clue(
                "StillInUse",
                ref,
                f"{ref} cannot go because {users[0]} uses it",
                seen,
                blames=users,
                strength=0.85,
            )
    return Clue(
        "StuckFinalizer",
        ref,
        f"{ref} cannot go: nobody removes the finalizer {', '.join(finalizers)}",
        (quoted,),
        facts={"finalizer": finalizers[0]},
        strength=0.93,
    )


def _namespace(facts: Facts, body: Body) -> Clue:
    name = ref_of(body).name
    remaining = condition(body, "NamespaceFinalizersRemaining")
    left = tuple(
        ref_of(one)
        for one in facts.bundle.objects
        if ref_of(one).namespace == name
        and part(one, "metadata").get("deletionTimestamp")
        and part(one, "metadata").get("finalizers")
    )
    seen = (
        (condition_said(body, "NamespaceFinalizersRemaining", remaining),)
        if remaining.holds
        else (said(body, "phase Terminating"),)
    )
    return Clue(
        "NamespaceStuck",
        ref_of(body),
        f"{ref_of(body)} cannot go: {remaining.message or 'something is left in it'}",
        seen,
        "effect",
        points_to=left,
        strength=0.6,
    )
