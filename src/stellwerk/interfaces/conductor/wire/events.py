"""Events as they are shown: bare lists, newest first."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from stellwerk.http.instants import MomentText, Timestamp
from stellwerk.http.texts import PLAIN
from stellwerk.interfaces.conductor.wire.form import Asked, Object, Resource, Shown

Level = Literal["error", "success", "info", "warning"]
Key = Annotated[
    str, Meta(min_length=1, max_length=512, pattern=PLAIN, description="`namespace/Kind/name`, exactly.")
]
Limit = Annotated[int, Meta(ge=1, le=1_000)]


class ShownEvent(Shown, kw_only=True, omit_defaults=True):
    """Something that happened. `kind` and `by` are ours; `details.operationId` leads to the operation."""

    id: str
    timestamp: Timestamp
    type: Level
    resource_key: Resource | UnsetType = UNSET
    message: str
    error: str | UnsetType = UNSET
    details: Object | UnsetType = UNSET
    kind: str
    by: str | UnsetType = UNSET


class FollowQuery(Asked, kw_only=True):
    """Which events."""

    resource: Key | UnsetType = UNSET
    type: Level | UnsetType = UNSET


class EventsQuery(FollowQuery, kw_only=True):
    """Which events, `since` and `until` included."""

    since: MomentText | UnsetType = UNSET
    until: MomentText | UnsetType = UNSET
    limit: Limit = 100
    offset: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class ErrorsQuery(Asked, kw_only=True):
    """How many."""

    limit: Limit = 50


class ResourceQuery(Asked, kw_only=True):
    """How many."""

    limit: Limit = 100


class CleanQuery(Asked, kw_only=True):
    """What is older is deleted."""

    before: Annotated[str, Meta(max_length=100, description="RFC 3339.")] | UnsetType = UNSET


class Cleaned(Shown, kw_only=True):
    """How many events were deleted."""

    message: str
    deleted: int
