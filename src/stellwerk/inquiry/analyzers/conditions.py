"""Kinds that nobody here knows: what their conditions say, as custom resources are expected to."""

from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import event_said, said
from stellwerk.inquiry.evidence.reading import KNOWN_KINDS
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.release.health import Related, health
from stellwerk.release.objects import Body

UNWELL = frozenset({"degraded", "progressing"})


def examine(facts: Facts) -> Iterator[Clue]:
    """Find custom resources that say that they are not well."""
    for body in facts.bundle.objects:
        if body.get("kind") not in KNOWN_KINDS and body.get("status"):
            yield from _of(facts, body)


def _of(facts: Facts, body: Body) -> Iterator[Clue]:
    found = health(body, Related(facts.now))
    if found.status not in UNWELL:
        return
    warned = [one for one in facts.events(body) if one.get("type") == "Warning"]
    yield Clue(
        "ConditionFails",
        ref_of(body),
        f"{ref_of(body)} says: {found.message}",
        (said(body, found.message), *(event_said(one, body) for one in warned[-1:])),
        "effect",
        strength=0.6 if found.status == "degraded" or warned else 0.5,
    )
