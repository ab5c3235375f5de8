"""An application as it was read from its folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stellwerk.release.application.requirements import Requirement
from stellwerk.release.fault import Fault
from stellwerk.release.spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class ServiceFolder:
    """A service: what is deployed, watched and removed as one."""

    name: str
    manifests: tuple[str, ...]
    """Paths of the files that are rendered, in order; all of them are in the application's `files`."""


@dataclass(frozen=True, slots=True)
class Application:
    """What an application's folder says. What is wrong with it is in `faults`; the rest is usable."""

    name: str
    version: str = ""
    services: Mapping[str, ServiceFolder] = field(default_factory=dict)
    """In order of their names."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names for several services, in the order in which they were given."""
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Services that come after others; groups are spelled out, and there is no circle."""
    requirements: tuple[Requirement, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """`parameters.yaml`: what holds where stored parameters say nothing."""
    schema: Mapping[str, Any] | None = None
    """`parameters.schema.json`; None where there is none."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Every file, by its path below the folder, with `/`."""
    faults: tuple[Fault, ...] = ()


class UnknownServices(Exception):
    """Names that are neither services nor groups; nothing was chosen."""

    def __init__(self, unknown: Mapping[str, str]) -> None:
        super().__init__(
            "; ".join(f"there is no service {name!r}: {advice}" for name, advice in unknown.items())
        )
        self.unknown = unknown
        """Each name with advice."""


def select(application: Application, names: Iterable[str]) -> tuple[str, ...]:
    """Return the services that exact names of services and groups stand for; of no names, all.

    Raises UnknownServices, which names every unknown one.
    """
    wanted = list(names)
    if not wanted:
        return tuple(application.services)
    known = [*application.services, *application.groups]
    unknown = {name: did_you_mean(name, known) for name in wanted if name not in known}
    if unknown:
        raise UnknownServices(unknown)
    chosen = {one for name in wanted for one in application.groups.get(name, (name,))}
    return tuple(name for name in application.services if name in chosen)


def groups_of(application: Application, service: str) -> tuple[str, ...]:
    """Return the groups that hold a service, in the order in which they were given."""
    return tuple(group for group, members in application.groups.items() if service in members)
