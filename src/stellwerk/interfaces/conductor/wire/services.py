"""Services and requirements as they are shown."""

from typing import Literal

from msgspec import UNSET, UnsetType, field

from stellwerk.interfaces.conductor.wire.form import Shown


class ListedService(Shown, kw_only=True, omit_defaults=True):
    """A service; `port` is 0 where it has no Service object. `faults` by file and line."""

    name: str
    namespace: str
    port: int
    installed: bool
    described: bool
    groups: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


class ListedServices(Shown, kw_only=True):
    """All services, by name."""

    services: list[ListedService]


class EnvironmentVariable(Shown, kw_only=True):
    """A variable with its value, or with where that comes from: `secret:NAME/KEY`, `configmap:NAME/KEY`."""

    name: str
    value: str | UnsetType = UNSET
    source: str | UnsetType = UNSET


class ServiceEnvironment(Shown, kw_only=True):
    """The variables of the programs of a service."""

    name: str
    env: list[EnvironmentVariable]


class ShownRequirement(Shown, kw_only=True):
    """A requirement, and whether the cluster meets it."""

    name: str
    description: str
    status: Literal["pass", "fail", "warning"]
    message: str
    required: bool


class ShownRequirements(Shown, kw_only=True):
    """All requirements; `overall` fails only where one that is required does."""

    requirements: list[ShownRequirement]
    overall: Literal["pass", "fail", "warning"]
