"""Whether an agent satisfies a form."""

import msgspec

from stellwerk.work.requirements import Form


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What matching knows of an agent; the group is looked up by name and is not part of it."""

    kind: str = ""
    capabilities: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()
    health: float = 1.0
    certified: bool = False
    """Whether the holder proves itself with a certificate."""


def matches(form: Form, attributes: Attributes) -> bool:
    """Tell whether the agent is of the kind, healthy and certified enough, and has all that the form asks."""
    return (
        (form.agent_type is None or form.agent_type == attributes.kind)
        and (form.min_health_score is None or attributes.health >= form.min_health_score)
        and (attributes.certified or not form.certified)
        and attributes.capabilities.issuperset(form.capabilities)
        and attributes.services.issuperset(form.services)
        and attributes.labels.issuperset(form.labels)
    )
