"""Bodies of the interface. What the published program calls a *reasoner* in its paths is an agent; the list
`reasoners` of an agent holds its functions, as it registered them."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from stellwerk.http.instants import Timestamp
from stellwerk.http.texts import NAMED
from stellwerk.trust.connectors.capabilities import READ_ONLY, SUBJECTS, Capability

WEIGHT_SCHEMA: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 10_000}
Weight = Annotated[Raw, Meta(extra_json_schema={"x-replace": WEIGHT_SCHEMA})]
"""Read by the route, which answers in the published words."""
Percent = Annotated[float, Meta(ge=0, le=100, description="Effective share of the agent's calls.")]
CAPABILITIES = [
    *Capability,
    *(f"{subject}{mode}" for subject, rights in SUBJECTS.items() if rights for mode in ("", READ_ONLY)),
]
CapabilityName = Annotated[str, Meta(extra_json_schema={"x-replace": {"enum": CAPABILITIES}})]
"""A name of either vocabulary that gives a right; read by the route, which lists them all in a refusal."""
Functions = list[dict[str, Any]]
AnyObject = dict[str, Any]


class Wire(msgspec.Struct, kw_only=True):
    """Anything on the wire."""


# Who the caller is


class DocumentedManifest(Wire):
    """What the token may, as the documented list."""

    connector_enabled: bool
    control_plane_version: str
    name: str
    capabilities: list[str]
    agents: list[str] | None
    """None: all."""
    expires_at: Timestamp | None


class Standing(Wire):
    enabled: bool
    read_only: bool


class Features(Wire):
    did_enabled: bool = False
    authorization_enabled: bool = False


class CodedManifest(Wire):
    """What the token may, as the coded map."""

    connector_enabled: bool
    control_plane_version: str
    name: str
    capabilities: dict[str, Standing]
    features: Features
    agents: list[str] | None
    expires_at: Timestamp | None


# Versions


class Figures(Wire):
    """Ended calls of a version over a window; the times are milliseconds, null while nothing has ended."""

    window_s: int
    calls: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class VersionRow(Wire):
    """How a version stands."""

    version: str
    traffic_weight: Annotated[
        int | None, Meta(description="Null is unset: it takes over if no weighted one can.")
    ]
    share_percent: Percent
    health_status: str
    lifecycle_status: str
    base_url: str
    base_urls: list[str]
    last_heartbeat: Timestamp | None
    registered_at: Timestamp
    instances: list[str]
    running: int
    figures: Figures


class Versions(Wire):
    id: str
    versions: list[VersionRow]
    total: int


class VersionDetail(VersionRow):
    """A version with its functions."""

    id: str
    group_id: str
    team_id: str
    reasoners: Functions
    skills: Functions


class SetWeight(Wire):
    weight: Annotated[Weight | UnsetType, Meta(extra_json_schema={"x-required": True})] = UNSET


class WeightSet(Wire):
    """The weight before and now, and what the calls make of it."""

    id: str
    version: str
    previous_weight: int | None
    new_weight: int
    share_percent: Percent
    shares: dict[str, Percent]
    success: bool = True


class SetWeights(Wire):
    weights: Annotated[dict[str, Weight], Meta(min_length=1, max_length=1_000)]


class WeightsSet(Wire):
    id: str
    previous_weights: dict[str, int | None]
    weights: dict[str, int | None]
    shares: dict[str, Percent]
    success: bool = True


class SetVersion(Wire):
    version: Annotated[str, Meta(min_length=1, max_length=253)]


class VersionKept(Wire):
    previous_version: str
    success: bool = True


class VersionRemoved(Wire):
    id: str
    version: str
    success: bool = True


# Agents


class ReasonerRow(VersionRow):
    """A version of an agent among all."""

    node_id: str
    group_id: str
    team_id: str
    metadata: AnyObject
    reasoners: Functions
    skills: Functions


class Reasoners(Wire, omit_defaults=True):
    reasoners: list[ReasonerRow]
    total: int
    next: str | None = None
    """Id of the page's last agent, where more follow."""


class ReasonerDetail(Wire):
    """An agent; version, health and address are those of the version that gets most calls."""

    id: str
    group_id: str
    team_id: str
    version: str
    health_status: str
    lifecycle_status: str
    base_url: str
    reasoners: Functions
    skills: Functions
    versions: list[VersionRow]
    metadata: AnyObject
    sticky: bool
    concurrency: int | None
    supervisor: AnyObject | None


class ChangeReasoner(Wire, forbid_unknown_fields=True):
    """What is to change; null goes back to the default."""

    metadata: AnyObject | UnsetType | None = UNSET
    sticky: bool | UnsetType | None = UNSET
    concurrency: Annotated[int, Meta(ge=1, le=100_000)] | UnsetType | None = UNSET
    supervisor: AnyObject | UnsetType | None = UNSET


class GroupRow(Wire):
    group_id: str
    team_id: str
    node_count: int
    versions: list[str]


class Groups(Wire, omit_defaults=True):
    groups: list[GroupRow]
    total: int
    next: str | None = None


class PageQuery(Wire):
    """A page of agents, by their ids; without a limit all of them, as published."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    after: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    """The `next` of the page before."""


class GroupsQuery(PageQuery):
    team_id: str | None = None


class Nodes(Wire):
    nodes: list[ReasonerRow]
    total: int


class NodeRow(ReasonerRow):
    id: str


class AllNodes(Wire, omit_defaults=True):
    agents: list[NodeRow]
    total: int
    next: str | None = None


class NodeStatus(Wire):
    id: str
    group_id: str
    health_status: str
    lifecycle_status: str
    version: str


# Restarts


class RestartQuery(Wire):
    force: bool = False
    wait_s: Annotated[float, Meta(ge=0, le=300)] | None = None


class RemoveQuery(Wire):
    force: bool = False


class RestartStep(Wire):
    version: str
    instance_id: str
    replaced_by: str | None
    task_id: str | None


class RestartShown(Wire):
    """A restart; `restarted_at` is null until all instances have come back."""

    success: bool
    id: str
    version: str | None
    restart_id: str
    state: str
    detail: str | None
    requested_at: Timestamp
    restarted_at: Timestamp | None
    finished_at: Timestamp | None
    instances: list[RestartStep]


class Restarts(Wire):
    restarts: list[RestartShown]
    total: int


# Tokens


class NewToken(Wire, forbid_unknown_fields=True):
    """A token to create; it cannot have rights over agents that its creator does not have."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=NAMED)]
    capabilities: Annotated[list[CapabilityName], Meta(min_length=1, max_length=50)]
    agents: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=253)]], Meta(min_length=1, max_length=256)
        ]
        | None
    ) = None
    """None: all agents."""
    expires_in_s: Annotated[float, Meta(gt=1.0, le=315_360_000.0)] | None = None


class ShownToken(Wire):
    """A token without its secret."""

    token_id: str
    name: str
    capabilities: list[str]
    agents: list[str] | None
    created_at: Timestamp
    created_by: str
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    revoked_at: Timestamp | None


class CreatedToken(ShownToken):
    """A new token; `token` is what to send, and is shown only now."""

    token: str


class TokenList(Wire):
    tokens: list[ShownToken]
    total: int
