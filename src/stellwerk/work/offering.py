"""What an instance of the fleet offers to the queue, and whether it is given anything."""

from stellwerk.fleet.model import AgentView, Condition, InstanceView, Presence
from stellwerk.work.matching import Attributes

WILLING = frozenset({Condition.ACTIVE, Condition.BUSY})
"""A busy agent is less healthy, but still gets what it has capacity for; the others get nothing new."""


def offer(view: AgentView, instance: InstanceView, *, certified: bool = False) -> Attributes:
    """Return what matching looks at; `certified` is how the holder proved itself, not what it said."""
    return Attributes(
        kind=view.kind,
        capabilities=frozenset(instance.capabilities),
        services=frozenset(instance.services),
        labels=frozenset(instance.labels.items()),
        health=instance.health_score,
        certified=certified,
    )


def accepts(instance: InstanceView) -> bool:
    """Tell whether the instance is given new tasks."""
    return instance.condition in WILLING and instance.presence is not Presence.OFFLINE
