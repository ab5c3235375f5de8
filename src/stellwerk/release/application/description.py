"""What `stellwerk.yaml` says about an application: its name, groups of services, and their order."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from stellwerk.release.application.mapping import Reader
from stellwerk.release.spelling import did_you_mean

_FIELDS = ("name", "version", "groups", "dependsOn", "ignore")


@dataclass(frozen=True, slots=True)
class Description:
    """The file's content; empty where there is no file."""

    name: str = ""
    version: str = ""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    depends_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    """Patterns of paths that are data for templates, not manifests."""


def read_description(reader: Reader) -> Description:
    """Read the file; names of services are checked later, by `resolve`."""
    read = reader.mapping(reader.document.value, [], _FIELDS)
    return Description(
        name=reader.text(read.get("name") or "", ["name"]),
        version=reader.text(read.get("version") or "", ["version"]),
        groups=_lists(reader, read.get("groups") or {}, "groups"),
        depends_on=_lists(reader, read.get("dependsOn") or {}, "dependsOn"),
        ignore=reader.texts(read.get("ignore") or [], ["ignore"]),
    )


def resolve(reader: Reader, description: Description, services: Collection[str]) -> Description:
    """Leave out what names no service, spell out groups in `dependsOn`, and open circles; each is a fault."""
    groups = {
        group: _known(reader, members, ["groups", group], services)
        for group, members in description.groups.items()
        if _free(reader, group, services)
    }
    after: dict[str, tuple[str, ...]] = {}
    for name, needed in description.depends_on.items():
        for service in _members(reader, name, ["dependsOn", name], groups, services):
            found = [
                one
                for place, other in enumerate(needed)
                for one in _members(reader, other, ["dependsOn", name, place], groups, services)
            ]
            after[service] = tuple(dict.fromkeys([*after.get(service, ()), *found]))
    return Description(
        description.name, description.version, groups, _open(reader, after), description.ignore
    )


def _lists(reader: Reader, value: object, name: str) -> dict[str, tuple[str, ...]]:
    listed: dict[str, Any] = reader.mapping(value, [name])
    return {key: reader.texts(members, [name, key]) for key, members in listed.items()}


def _free(reader: Reader, group: str, services: Collection[str]) -> bool:
    if group in services:
        reader.fault(["groups", group], f"{group} is a service already", "give the group another name")
    return group not in services


def _known(
    reader: Reader, members: tuple[str, ...], path: list[str | int], services: Collection[str]
) -> tuple[str, ...]:
    for place, member in enumerate(members):
        if member not in services:
            reader.fault([*path, place], f"there is no service {member}", did_you_mean(member, services))
    return tuple(dict.fromkeys(member for member in members if member in services))


def _members(
    reader: Reader,
    name: str,
    path: list[str | int],
    groups: Mapping[str, tuple[str, ...]],
    services: Collection[str],
) -> tuple[str, ...]:
    if name in services:
        return (name,)
    if name not in groups:
        reader.fault(path, f"there is no service or group {name}", did_you_mean(name, [*services, *groups]))
    return groups.get(name, ())


def _open(reader: Reader, after: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    opened = dict(after)
    while True:
        try:
            TopologicalSorter(opened).prepare()
        except CycleError as circle:
            names: list[str] = circle.args[1]
            reader.fault(
                ["dependsOn"],
                f"these wait for each other: {' → '.join(reversed(names))}",
                "take one of them out",
            )
            for name in names:
                opened.pop(name, None)
        else:
            return opened
