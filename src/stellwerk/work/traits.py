"""Traits: the words by which agents are found without looking at each of them.

An agent has one trait for each thing that a task may ask for. A task that asks for several is looked up by
any one of them; the rest is left to `matching.matches`.
"""

from collections.abc import Iterator

from stellwerk.work.matching import Attributes
from stellwerk.work.requirements import Form

Trait = tuple[str, str]

EVERYBODY: Trait = ("", "")
"""What every agent has: for tasks that ask nothing that can be looked up."""


def traits_of(attributes: Attributes, group: str) -> frozenset[Trait]:
    """Return everything that this agent can be found by."""
    return frozenset((EVERYBODY, *_traits(attributes.kind, attributes, group)))


def traits_asked(form: Form, group: str | None) -> tuple[Trait, ...]:
    """Return what an agent must have to match, usually the narrowest first; EVERYBODY if nothing is asked."""
    return tuple(_traits(form.agent_type, form, group)) or (EVERYBODY,)


def _traits(kind: str | None, asked: Attributes | Form, group: str | None) -> Iterator[Trait]:
    if group is not None:
        yield "group", group
    for capability in asked.capabilities:
        yield "capability", capability
    for service in asked.services:
        yield "service", service
    for name, value in asked.labels:
        yield "label", f"{name}={value}"
    if kind is not None:
        yield "kind", kind
