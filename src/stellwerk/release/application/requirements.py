"""What an application asks of a cluster: `requirements.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stellwerk.release.application.mapping import Reader, Step

_FIELDS = ("name", "description", "required", "checkType", "checkConfig")


class Check(StrEnum):
    """What a cluster can be asked."""

    VERSION = "kubernetes-version"
    NODES = "node-count"
    STORAGE = "storage-class"
    CPU = "cpu"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that is asked; an unknown kind of check can only warn."""

    name: str
    description: str = ""
    required: bool = False
    check: str = ""
    config: Mapping[str, Any] | None = None


def read_requirements(reader: Reader) -> tuple[Requirement, ...]:
    """Read `requirements: [{name, description, required, checkType, checkConfig}]`."""
    root = reader.mapping(reader.document.value, [], ("requirements",))
    listed = root.get("requirements") or []
    if not reader.is_a(list, listed, ["requirements"]):
        return ()
    return tuple(
        _requirement(reader, one, place) for place, one in enumerate(listed) if isinstance(one, dict)
    )


def _requirement(reader: Reader, value: object, place: int) -> Requirement:
    path: list[Step] = ["requirements", place]
    read = reader.mapping(value, path, _FIELDS)
    check = reader.text(read.get("checkType", ""), [*path, "checkType"])
    if check not in set(Check):
        reader.fault([*path, "checkType"], f"{check!r} is no check", f"use one of {', '.join(Check)}")
    required = read.get("required", False)
    return Requirement(
        name=reader.text(read.get("name", check), [*path, "name"]) or check,
        description=reader.text(read.get("description", ""), [*path, "description"]),
        required=required is True if reader.is_a(bool, required, [*path, "required"]) else False,
        check=check,
        config=reader.mapping(read.get("checkConfig") or {}, [*path, "checkConfig"]),
    )
