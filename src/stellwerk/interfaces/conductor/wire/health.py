"""Health of the server itself."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from stellwerk.http.instants import Timestamp
from stellwerk.interfaces.conductor.wire.form import Asked, Shown


class Alive(Shown, kw_only=True):
    """The server answers."""

    status: Literal["healthy"]
    version: str
    timestamp: Timestamp


class ReadyQuery(Asked, kw_only=True):
    """With `strict`, the cluster counts as well."""

    strict: Annotated[bool, Meta(description="Whether the cluster counts as well.")] = False


class Part(Shown, omit_defaults=True, kw_only=True):
    """One part of the server, or the cluster."""

    status: Literal[
        "healthy", "unhealthy", "ready", "not_ready", "available", "unavailable", "unselected", "unknown"
    ]
    message: str = ""
    name: str | UnsetType = UNSET
    version: str | UnsetType = UNSET
    simulated: bool | UnsetType = UNSET


class Readiness(Shown, kw_only=True):
    """Whether the server can do its work, part by part."""

    status: Literal["healthy", "unhealthy"]
    version: str
    timestamp: Timestamp
    components: dict[str, Part]
