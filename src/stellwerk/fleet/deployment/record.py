"""A deployment agent as recorded. Instants are microseconds UTC."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

import msgspec

from stellwerk.fleet.model import DEFAULT_INSTANCE, Condition, Registration
from stellwerk.trust.principal import Principal

JOINED_THROUGH = "deployment"
KIND = "deployment"
"""Its type in discoveries of other interfaces."""
INSTANCE = DEFAULT_INSTANCE
"""A deployment agent is one holder, whatever process speaks for it: its leases survive a restart."""
AGENT_PRINCIPAL = "agent:"

LogLevel = Literal["debug", "info", "warning", "error"]


class Status(StrEnum):
    """What an agent says of itself in a heartbeat."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"


LEAVING = frozenset({Status.DRAINING, Status.STOPPING, Status.STOPPED})
"""It takes nothing new."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A machine that the agent may act on; no host stands for every one with the labels."""

    host: str | None = None
    labels: Mapping[str, str] = {}


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent said last; what changes with every heartbeat (load, times) is the fleet's."""

    status: Status = Status.HEALTHY
    reasons: tuple[str, ...] = ()
    capabilities: tuple[str, ...] | None = None
    """Those that it found on its machine; None until its first heartbeat."""
    running_tasks: int = 0
    clock_skew_s: float = 0.0
    """Its clock less ours, where it told; several minutes make it degraded."""


class DeploymentAgent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent. `name` is its group in the fleet."""

    agent_id: str
    name: str
    version: str
    allowed_capabilities: tuple[str, ...]
    """It may have these; what it is found by is their intersection with what it reports."""
    labels: Mapping[str, str]
    targets: tuple[Target, ...] = ()
    log_level: LogLevel = "info"
    max_tasks: int | None = None
    """Tasks at once; None has no cap."""
    draining: bool = False
    """An operator wants it to finish what it has and take nothing new."""
    reported: Reported = Reported()
    session_id: str | None = None
    """The process that speaks for it."""
    token_id: str
    token_capabilities: tuple[str, ...] | None = None
    """What its token lets it be able to do, also later; None leaves it to operators."""
    registered_at: int
    updated_at: int
    deleted_at: int | None = None

    @property
    def principal(self) -> Principal:
        """Who the agent is to the fleet: the owner of its group."""
        return Principal(f"{AGENT_PRINCIPAL}{self.agent_id}", self.name, frozenset())

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What it is found by."""
        detected = self.reported.capabilities
        if detected is None:
            return self.allowed_capabilities
        return tuple(one for one in self.allowed_capabilities if one in detected)

    @property
    def condition(self) -> Condition:
        """What the fleet is told of it."""
        if self.draining:
            return Condition.MAINTENANCE
        return Condition.INACTIVE if self.reported.status in LEAVING else Condition.ACTIVE

    @property
    def registration(self) -> Registration:
        """Its membership in the fleet."""
        metadata: dict[str, object] = {"agentId": self.agent_id}
        if self.max_tasks is not None:
            metadata["max_concurrency"] = self.max_tasks
        return Registration(
            group=self.name,
            joined_through=JOINED_THROUGH,
            kind=KIND,
            instance=INSTANCE,
            version=self.version,
            capabilities=self.capabilities,
            labels=self.labels,
            metadata=metadata,
        )
