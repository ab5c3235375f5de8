"""Bodies about nodes: the running processes of agents."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from stellwerk.http.instants import Timestamp
from stellwerk.http.texts import whole
from stellwerk.interfaces.nodes.wire.text import Id, JsonObject, Line, Tags, Wire, Word

Version = Annotated[str, Meta(max_length=253, pattern=whole(r"[A-Za-z0-9._:+-]*"))]


class Function(Wire):
    """A reasoner or skill. The tag `idempotent` allows a call to be repeated that may have been begun."""

    id: Id
    input_schema: Any = None
    output_schema: Any = None
    memory_config: Any = None
    description: Annotated[str, Meta(max_length=16_384)] | None = None
    tags: Tags | None = None
    proposed_tags: Tags | None = None
    triggers: Any = None
    accepts_webhook: Any = None


Functions = Annotated[list[Function], Meta(max_length=256)]


class RegisterNode(Wire):
    """A process that joins, or joins again."""

    id: Id
    base_url: Annotated[
        str,
        Meta(
            max_length=1_024, pattern=whole(r"https?://[!-~]+"), description="Where its functions are called."
        ),
    ]
    version: Version | None = None
    reasoners: Functions | None = None
    skills: Functions | None = None
    instance_id: Annotated[str, Meta(max_length=253, pattern=whole(r"[A-Za-z0-9._:-]*"))] | None = None
    group_id: Word | None = None
    team_id: Word | None = None
    lifecycle_status: Word | None = None
    proposed_tags: Tags | None = None
    metadata: JsonObject | None = None


class NodeRegistered(Wire):
    success: bool
    message: str
    node_id: str
    version: str
    instance_id: str


class NodeHeartbeat(Wire):
    """A sign of life. `ready` lets a process be called; one that says `offline` is leaving."""

    status: Word | None = None
    version: Version | None = None
    instance_id: Word | None = None
    lifecycle_status: Word | None = None


class HeartbeatReceived(Wire):
    success: bool
    message: str
    timestamp: Timestamp


class NodeShutdown(Wire):
    """A process that leaves. Published SDKs name neither version nor instance."""

    reason: Line | None = None
    version: Version | None = None
    instance_id: Word | None = None


class ShutdownAcknowledged(Wire):
    lease_seconds: int
    next_lease_renewal: Timestamp
    message: str


HealthStatus = Literal["active", "inactive", "degraded", "unknown"]
LifecycleStatus = Literal["starting", "ready", "degraded", "offline"]


class NodeInstance(Wire):
    """One process."""

    instance_id: str
    version: str
    base_url: str
    health_status: str
    lifecycle_status: str
    registered_at: Timestamp
    last_heartbeat: Timestamp


class Node(Wire):
    """An agent with its processes; the statuses are those of the best of them."""

    id: str
    group_id: str
    team_id: str
    version: str
    versions: list[str]
    base_url: str
    health_status: str
    lifecycle_status: str
    registered_at: Timestamp
    last_heartbeat: Timestamp
    reasoners: list[JsonObject]
    skills: list[JsonObject]
    instances: list[NodeInstance]


class Nodes(Wire):
    nodes: list[Node]
    count: int


class NodesQuery(Wire):
    health_status: HealthStatus | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100
    after: Annotated[str, Meta(max_length=253, description="The last id of the page before.")] = ""
