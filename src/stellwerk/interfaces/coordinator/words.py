"""The interface's own words: agent types, status words, priorities, and their projection from the fleet's."""

from enum import StrEnum

from stellwerk.fleet.model import Condition, Presence, Standing
from stellwerk.http.problem import Problem
from stellwerk.work.states import Reason

JOINED_THROUGH = "coordinator"
"""The interface through which agents join here; those of others are seen here, and changed there."""


class AgentType(StrEnum):
    """Kinds of agents: the documented ones and those that existing clients register. Case-sensitive."""

    WORKER = "worker"
    PROVIDER = "provider"
    CONSUMER = "consumer"
    GENERAL = "general"
    COORDINATOR = "coordinator"
    SPECIALIST = "specialist"
    MONITOR = "monitor"
    GATEWAY = "gateway"
    ORCHESTRATOR = "orchestrator"
    INFERENCE = "inference"
    TRAINING = "training"
    PROCESSING = "processing"


class AgentStatus(StrEnum):
    """Status words: what an agent may declare, and `stale` for one that has not been heard of for a while."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    BUSY = "busy"
    MAINTENANCE = "maintenance"
    ERROR = "error"
    STALE = "stale"


QUEUES = ("urgent", "critical", "high", "normal", "low")
"""The named priorities in the order of the documented answers."""


STRATEGIES = (
    "round_robin",
    "least_connections",
    "least_response_time",
    "weighted_round_robin",
    "resource_based",
    "capability_based",
    "predictive",
    "consistent_hash",
)
"""The balancing strategies, for the description of the interface."""


def agent_type(text: str) -> AgentType:
    """Read an agent type. Raises Problem (422)."""
    try:
        return AgentType(text)
    except ValueError:
        raise Problem.invalid(f"{text[:200]!r} is not a valid AgentType") from None


def condition(text: str) -> Condition:
    """Read a status that an agent declares; `stale` declares it inactive. Raises Problem (422)."""
    if text == AgentStatus.STALE:
        return Condition.INACTIVE
    try:
        return Condition(text)
    except ValueError:
        raise Problem.invalid(f"{text[:200]!r} is not a valid AgentStatus") from None


def stop_reason(reason: str | None) -> str:
    """Say to an agent why it is to stop: `cancelled` by somebody, or the reason as the task shows it."""
    return "cancelled" if reason is None or reason == Reason.REQUESTED else reason


def standings(text: str) -> frozenset[Standing]:
    """List the standings that a status word is the projection of; none for an unknown word."""
    return _STANDINGS.get(text, frozenset())


def project_status(declared: Condition, presence: Presence) -> AgentStatus:
    """Say in one word what the fleet knows in two: silence outweighs what was declared before it."""
    if presence is Presence.OFFLINE:
        return AgentStatus.INACTIVE
    if presence is Presence.LATE:
        return AgentStatus.STALE
    return AgentStatus(declared.value)


_STANDINGS = {
    word.value: frozenset(
        (declared, presence)
        for declared in Condition
        for presence in Presence
        if project_status(declared, presence) is word
    )
    for word in AgentStatus
}
