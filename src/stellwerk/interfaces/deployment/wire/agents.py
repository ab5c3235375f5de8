"""Bodies about agents: registration, heartbeat, and what operators see and change."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stellwerk.fleet.deployment.record import Status
from stellwerk.interfaces.deployment.wire.tasks import DeliveredTask
from stellwerk.interfaces.deployment.wire.text import (
    Attempt,
    Id,
    Labels,
    MaxTasks,
    Name,
    Pem,
    Timestamp,
    Version,
    Wire,
    Word,
    Words,
)

LogLevel = Literal["debug", "info", "warning", "error"]
Percent = Annotated[float, Meta(ge=0.0)]
Standing = Literal["online", "offline", "degraded"]


class Target(Wire):
    """A machine that the agent may act on; without a host, every one with the labels."""

    host: Annotated[str, Meta(max_length=253)] | None = None
    labels: Labels = msgspec.field(default_factory=dict)


Targets = Annotated[list[Target], Meta(max_length=256)]


class RegisterAgent(Wire):
    """An agent that joins. With a CSR its key never leaves it; without, one is made here."""

    name: Name
    version: Version
    capabilities: Words = msgspec.field(default_factory=list)
    labels: Labels = msgspec.field(default_factory=dict)
    csr: Pem | None = None
    instance_id: Id | None = None
    targets: Targets = msgspec.field(default_factory=list)
    max_tasks: MaxTasks | None = None


class Config(Wire):
    """What the agent is to do; it may change with every heartbeat."""

    heartbeat_interval: Annotated[int, Meta(description="Seconds.")]
    task_poll_interval: Annotated[int, Meta(description="Seconds.")]
    log_level: LogLevel
    certificate_renew_after: Annotated[
        int, Meta(description="Seconds of a certificate's life after which to send a CSR.")
    ]


class Certificate(Wire, omit_defaults=True):
    """A certificate for the agent; `ca` verifies the server."""

    cert: str
    ca: str
    expires_at: Timestamp
    key: Annotated[str | None, Meta(description="Only where the agent sent no CSR; it is kept nowhere.")] = (
        None
    )


class AgentRegistered(Wire):
    agent_id: str
    token: str
    config: Config
    certificate: Certificate


class ServerCa(Wire):
    ca: str
    sha256: Annotated[list[str], Meta(description="Fingerprint of each root, in hex.")]


class IssuedToken(Wire):
    token: str
    expires_in: Annotated[int, Meta(description="Seconds.")]


class ResourceUsage(Wire):
    """Percentages."""

    cpu: Percent | None = None
    memory: Percent | None = None
    disk: Percent | None = None


class HeldTask(Wire):
    """A task that the agent has."""

    task_id: Id
    attempt: Attempt | None = None
    state: Word | None = None
    progress: Annotated[float, Meta(ge=0, le=100)] | None = None


class Heartbeat(Wire):
    """What an agent says of itself. One that lists its tasks is told what to stop, and keeps only those."""

    status: Status = Status.HEALTHY
    resource_usage: ResourceUsage | None = None
    capabilities: Words | None = None
    running_tasks: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    tasks: Annotated[list[HeldTask], Meta(max_length=10_000)] | None = None
    csr: Pem | None = None
    instance_id: Id | None = None
    max_tasks: MaxTasks | None = None
    version: Version | None = None
    status_reasons: Words = msgspec.field(default_factory=list)


class CertificateRenewal(Wire):
    cert: str
    ca: str
    expires_at: Timestamp


class HeartbeatTaken(Wire, omit_defaults=True):
    tasks: list[DeliveredTask]
    certificate_renewal: CertificateRenewal | None = None
    cancelled_tasks: Annotated[list[str] | None, Meta(description="To stop.")] = None
    config: Annotated[Config | None, Meta(description="Only what is new.")] = None


class AgentRow(Wire):
    """An agent as in lists."""

    id: str
    name: str
    version: str
    status: Standing
    capabilities: tuple[str, ...]
    last_heartbeat: Timestamp
    resource_usage: dict[str, float]
    status_reasons: tuple[str, ...]
    labels: dict[str, str]
    draining: bool


class ShownTarget(Wire):
    host: str | None
    labels: dict[str, str]


class ShownCertificate(Wire):
    serial: str
    state: str
    expires_at: Timestamp


class ShownLease(Wire):
    """A task that the agent holds now."""

    task_id: str
    task_type: str
    status: str
    attempt: int
    lease: int
    expires_at: Timestamp


class Agent(AgentRow):
    """Everything about an agent."""

    allowed_capabilities: tuple[str, ...]
    token_capabilities: Annotated[
        tuple[str, ...] | None, Meta(description="What its token allows; null leaves it to operators.")
    ]
    detected_capabilities: tuple[str, ...] | None
    max_tasks: int | None
    running_tasks: int
    log_level: str
    instance_id: str | None
    connected: bool
    registered_at: Timestamp
    updated_at: Timestamp
    targets: list[ShownTarget]
    tasks: list[ShownLease]
    certificates: list[ShownCertificate]


class UpdateAgent(Wire):
    """What is given replaces what was; what is not stays."""

    labels: Labels | msgspec.UnsetType = msgspec.UNSET
    capabilities: Words | msgspec.UnsetType = msgspec.UNSET
    targets: Targets | msgspec.UnsetType = msgspec.UNSET
    log_level: LogLevel | msgspec.UnsetType = msgspec.UNSET
    max_tasks: MaxTasks | msgspec.UnsetType | None = msgspec.UNSET


class AgentDeleted(Wire):
    deleted: bool = True


class ListQuery(Wire):
    status: Standing | None = None
    capability: Word | None = None
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=1_000)] = 100
