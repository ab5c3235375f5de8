"""Bodies about agents."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stellwerk.http.instants import Timestamp
from stellwerk.interfaces.coordinator.wire.text import (
    VERSION_PATTERN,
    Capacity,
    Endpoints,
    Id,
    Labels,
    LoadMetrics,
    Score,
    Words,
    one_of,
)
from stellwerk.interfaces.coordinator.words import AgentStatus, AgentType

Success = Literal["success"]


class RegisterAgent(msgspec.Struct, kw_only=True):
    """An agent that joins. Registering again updates it; its registration time stays."""

    agent_id: Annotated[Id, Meta(examples=["hermes-agent"])]
    agent_type: Annotated[str, one_of(AgentType)]
    capabilities: Words = []
    services: Words = []
    endpoints: Endpoints = {}
    metadata: dict[str, Any] = {}
    instance_id: Id | None = None
    version: Annotated[str, Meta(min_length=1, max_length=253, pattern=VERSION_PATTERN)] | None = None
    tags: Words | None = None
    labels: Labels | None = None
    max_concurrency: Capacity | None = None


class Registered(msgspec.Struct, kw_only=True):
    status: Success = "success"
    message: str
    agent_id: str
    registered_at: Timestamp


class DiscoverAgents(msgspec.Struct, kw_only=True):
    """What to look for; every given part must hold. An unknown type or status finds nothing."""

    status: Annotated[str, Meta(max_length=200)] | None = None
    agent_type: Annotated[str, Meta(max_length=200)] | None = None
    capabilities: Words | None = None
    services: Words | None = None
    tags: Words | None = None
    labels: Labels | None = None
    min_health_score: Score | None = None
    limit: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class AgentInstance(msgspec.Struct, kw_only=True):
    """One running process of an agent."""

    instance_id: str
    version: str
    status: AgentStatus
    last_heartbeat: Timestamp
    registration_time: Timestamp
    load_metrics: dict[str, float]
    health_score: Score


class Agent(msgspec.Struct, kw_only=True):
    """An agent as others see it; `instances` only where one agent is asked for."""

    agent_id: str
    agent_type: str
    status: AgentStatus
    capabilities: tuple[str, ...]
    services: tuple[str, ...]
    endpoints: dict[str, str]
    metadata: dict[str, Any]
    last_heartbeat: Timestamp
    registration_time: Timestamp
    load_metrics: dict[str, float]
    health_score: Score
    version: str
    tags: tuple[str, ...]
    labels: dict[str, str]
    instances: tuple[AgentInstance, ...] | UnsetType = UNSET


class AgentAnswer(msgspec.Struct, kw_only=True):
    status: Success = "success"
    agent: Agent
    timestamp: Timestamp


class DiscoveredAgents(msgspec.Struct, kw_only=True):
    status: Success = "success"
    query: Annotated[dict[str, Any], Meta(description="The query as it was sent.")]
    agents: list[Agent]
    count: int
    timestamp: Timestamp


class ServiceAgents(msgspec.Struct, kw_only=True):
    status: Success = "success"
    service: str
    agents: list[Agent]
    count: int
    timestamp: Timestamp


class CapabilityAgents(msgspec.Struct, kw_only=True):
    status: Success = "success"
    capability: str
    agents: list[Agent]
    count: int
    timestamp: Timestamp


class UpdateStatus(msgspec.Struct, kw_only=True):
    """What an agent declares. `stale` counts as `inactive`: it gets nothing new until it says otherwise."""

    status: Annotated[str, one_of(AgentStatus)]
    load_metrics: LoadMetrics | None = None
    instance_id: Id | None = None


class StatusUpdated(msgspec.Struct, kw_only=True):
    status: Success = "success"
    message: str
    agent_id: str
    new_status: AgentStatus
    updated_at: Timestamp


class Heartbeat(msgspec.Struct, kw_only=True):
    """A sign of life. `claim` asks for that many tasks in the answer."""

    instance_id: Id | None = None
    status: Annotated[str | None, one_of(AgentStatus, or_null=True)] = None
    load_metrics: LoadMetrics | None = None
    claim: Annotated[int, Meta(ge=0, le=100)] = 0


class AgentRemoved(msgspec.Struct, kw_only=True):
    status: Success = "success"
    message: str
    agent_id: str
    timestamp: Timestamp


class RegistryFigures(msgspec.Struct, kw_only=True):
    total_agents: int
    status_counts: dict[str, int]
    type_counts: dict[str, int]
    service_count: int
    capability_count: int
    last_cleanup: Annotated[Timestamp, Meta(description="When the figures were taken.")]


class RegistryStats(msgspec.Struct, kw_only=True):
    status: Success = "success"
    stats: RegistryFigures
    timestamp: Timestamp


class InstanceQuery(msgspec.Struct, kw_only=True):
    """Of several instances, the one that is meant."""

    instance_id: Id | None = None


class AgentPlace(msgspec.Struct, kw_only=True):
    """Who speaks: an agent, and which of its instances."""

    agent_id: Id
    instance_id: Id | None = None
