"""What the fleet knows of its agents, as frozen values.

A *group* is the logical agent, an *instance* one running process of it. Presence (heard from or not, by the
server's clock) and condition (what the agent declares) are two axes; interfaces project their own status
words from the pair, the *standing*. Values share their containers with the read model: treat every mapping
here as read-only. Times are microseconds UTC.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

DEFAULT_INSTANCE = "default"
DEFAULT_VERSION = "1.0.0"

NODES = "nodes"
"""What groups joined through whose instances are dialled; their heartbeats come in seconds."""
BASE_URL = "base_url"
"""Name of the endpoint under which an instance of a node is dialled; one process alone can have it."""


class Condition(StrEnum):
    """What an agent says about itself."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    BUSY = "busy"
    MAINTENANCE = "maintenance"
    ERROR = "error"


class Presence(StrEnum):
    """Whether an agent was heard from lately."""

    ONLINE = "online"
    LATE = "late"
    OFFLINE = "offline"


Standing = tuple[Condition, Presence]


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says when it joins, or joins again.

    `instance` None means the group's only one, `DEFAULT_INSTANCE`. `metadata` is a JSON object that is kept
    as sent; its number `weight`, if positive, becomes the instance's weight hint. `condition` None means
    active. `first_weight` is the weight of the version if it is the first of its group, `later_weight` if it
    is another new one, None means unset; a version that is known keeps what it has. Of a node, whatever
    instance of the group had its `BASE_URL` before is replaced: that process is gone.
    """

    group: str
    joined_through: str
    kind: str
    instance: str | None = None
    version: str = DEFAULT_VERSION
    capabilities: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    endpoints: Mapping[str, str] = {}
    metadata: Mapping[str, object] = {}
    condition: Condition | None = None
    first_weight: int | None = None
    later_weight: int | None = None


class VersionView(msgspec.Struct, frozen=True, gc=False):
    """One version of a group; `weight` is relative, 0 means off, None unset."""

    version: str
    weight: int | None
    registered_at: int


class InstanceView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One running process of a group.

    `response_ms` is a moving average of recent tasks, 0 while none has ended. `weight_hint` is 1 unless the
    agent asked for more or less. `succeeded`, `failed` and `response_ms` may lag by a batch (see
    `Fleet.record_outcome`).
    """

    instance: str
    version: str
    capabilities: tuple[str, ...]
    services: tuple[str, ...]
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    endpoints: Mapping[str, str]
    metadata: Mapping[str, object]
    condition: Condition
    presence: Presence
    registered_at: int
    updated_at: int
    seen_at: int
    load: Mapping[str, float]
    health_score: float
    weight_hint: float
    succeeded: int
    failed: int
    response_ms: float


class AgentView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A group as others see it.

    Lists are the union over `instances` (newest registered first), mappings are merged so that the newest
    wins. `condition`, `presence`, `load` and `health_score` are those of the best instance: not offline
    before offline, then the healthiest, then the newest. `seen_at` is the latest of all. `revision` differs
    whenever anything but outcomes differs; it is good for caching within one process only.
    """

    group: str
    kind: str
    joined_through: str
    owner: str
    registered_at: int
    instances: tuple[InstanceView, ...]
    version: str
    capabilities: tuple[str, ...]
    services: tuple[str, ...]
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    endpoints: Mapping[str, str]
    metadata: Mapping[str, object]
    condition: Condition
    presence: Presence
    seen_at: int
    load: Mapping[str, float]
    health_score: float
    revision: int
    versions: tuple[VersionView, ...] = ()
    """Oldest first; a version stays while it has no instance."""

    @property
    def standing(self) -> Standing:
        """Condition and presence together."""
        return self.condition, self.presence

    def instance(self, name: str | None) -> InstanceView | None:
        """Find an instance by name; None means the only one, or the one named `DEFAULT_INSTANCE`."""
        if name is None and len(self.instances) == 1:
            return self.instances[0]
        wanted = name or DEFAULT_INSTANCE
        return next((one for one in self.instances if one.instance == wanted), None)


class AgentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; every given part must hold.

    `standings` is the set of (condition, presence) pairs wanted, None means any, the empty set matches
    nothing. The lists are subset tests. `limit` None means all.
    """

    kind: str | None = None
    standings: frozenset[Standing] | None = None
    capabilities: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    min_health_score: float | None = None
    limit: int | None = None


class FleetCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many agents there are, and of what."""

    agents: int
    instances: int
    standings: Mapping[Standing, int]
    kinds: Mapping[str, int]
    capabilities: int
    services: int


class Registered(msgspec.Struct, frozen=True):
    """The answer to a registration; `created` is False when the group was there before."""

    view: AgentView
    created: bool


class WeightsSet(msgspec.Struct, frozen=True):
    """The answer to a change of weights: all versions before and after it, None for unset."""

    previous: Mapping[str, int | None]
    weights: Mapping[str, int | None]
    tag: str
    """Names this state of the weights; see `Fleet.set_weights`."""


class HeartbeatTaken(msgspec.Struct, frozen=True):
    """The answer to a heartbeat: when the server heard it, and the agent as it now stands."""

    at_us: int
    view: AgentView
