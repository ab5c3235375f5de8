"""Analyzers: facts in, clues out. One small module each, none knows another's findings."""

from stellwerk.inquiry.analyzers import (
    access,
    calling,
    changed,
    conditions,
    configured,
    confined,
    crashing,
    creating,
    credentials,
    ending,
    entering,
    images,
    jobs,
    measured,
    nodes,
    probing,
    rolling,
    scaling,
    scheduling,
    serving,
    starting,
    storage,
)
from stellwerk.inquiry.analyzers.clue import Analyzer, Clue
from stellwerk.inquiry.facts.facts import Facts

ANALYZERS: tuple[Analyzer, ...] = (
    images.examine,
    starting.examine,
    scheduling.examine,
    creating.examine,
    crashing.examine,
    configured.examine,
    confined.examine,
    access.examine,
    credentials.examine,
    calling.examine,
    probing.examine,
    measured.examine,
    changed.examine,
    storage.examine,
    nodes.examine,
    serving.examine,
    entering.examine,
    jobs.examine,
    scaling.examine,
    ending.examine,
    rolling.examine,
    conditions.examine,
)
"""In the order in which clues are told: what is proven best first."""


def clues(facts: Facts) -> list[Clue]:
    """Return everything that can be found; of the same on several replicas, one."""
    found: dict[object, Clue] = {}
    for examine in ANALYZERS:
        for clue in examine(facts):
            if clue.code != "StuckFinalizer" and facts.stale(clue.object):
                continue
            same = (
                clue.code,
                facts.unit(clue.object),
                clue.facts.get("container"),
                clue.blames,
                clue.points_to,
            )
            found.setdefault(same, clue)
    return list(found.values())
