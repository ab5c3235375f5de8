"""Bodies about the service itself."""

from typing import Literal

import msgspec

from stellwerk.http.instants import Timestamp


class Health(msgspec.Struct, kw_only=True):
    status: Literal["healthy"] = "healthy"
    service: Literal["agent-coordinator"] = "agent-coordinator"
    version: str
    timestamp: Timestamp


class Service(msgspec.Struct, kw_only=True):
    service: Literal["agent-coordinator"] = "agent-coordinator"
    description: str = "Registers agents and gives them tasks"
    version: str
    endpoints: tuple[str, ...] = (
        "/health",
        "/agents/register",
        "/agents/discover",
        "/agents/{agent_id}",
        "/tasks/submit",
        "/tasks",
        "/tasks/status",
        "/load-balancer/stats",
        "/registry/stats",
        "/openapi.json",
        "/docs",
    )
