"""Releases as they are shown."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from stellwerk.http.instants import Timestamp
from stellwerk.interfaces.conductor.wire.form import InstanceQuery, Object, Resource, Shown
from stellwerk.interfaces.conductor.wire.operations import Recorded, ShownChange


class ReleasesQuery(InstanceQuery, kw_only=True):
    """Which releases."""

    limit: Annotated[int, Meta(ge=1, le=1_000)] = 100


class ShownRelease(Shown, kw_only=True):
    """One recorded revision of the whole instance; `services` have the hash of what they were rendered to."""

    revision: int
    operation: str
    kind: Recorded
    result: Literal["succeeded", "failed", "cancelled", "interrupted"]
    at: Timestamp
    by: str
    note: str
    services: dict[str, str]


class ShownReleases(Shown, kw_only=True):
    """Releases that are kept, newest first."""

    releases: list[ShownRelease]


class ReleasedObject(Shown, kw_only=True):
    """One object of a release; the values of a Secret are hidden."""

    resource: Resource
    service: str
    file: str
    manifest: Object


class ReleaseContents(ShownRelease, kw_only=True):
    """A release with its objects and, for callers that may read them, its parameters."""

    objects: list[ReleasedObject]
    parameters: Object | UnsetType = UNSET


class DiffQuery(InstanceQuery, kw_only=True):
    """Against which revision; without it, the one before."""

    against: Annotated[int, Meta(ge=1)] | UnsetType = UNSET


class ObjectDifference(Shown, omit_defaults=True, kw_only=True):
    """One object that differs."""

    resource: Resource
    service: str
    action: Literal["added", "removed", "changed"]
    changes: list[ShownChange] = field(default_factory=list)


class ReleaseDifference(Shown, kw_only=True):
    """What makes `revision` of `against`."""

    revision: int
    against: int | None
    objects: list[ObjectDifference]
    parameters: list[ShownChange] | UnsetType = UNSET
