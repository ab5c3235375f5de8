"""Parts of an object's status that every kind writes the same way."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from stellwerk.release.objects import Body


class Condition(NamedTuple):
    """One entry of `status.conditions`."""

    status: str
    """`True`, `False` or `Unknown`; empty where there is no such condition."""
    reason: str = ""
    message: str = ""
    since: datetime | None = None

    @property
    def holds(self) -> bool:
        """Whether it is `True`."""
        return self.status == "True"

    @property
    def fails(self) -> bool:
        """Whether it is `False`."""
        return self.status == "False"


def condition(body: Body, name: str) -> Condition:
    """Return an object's condition of this type; one with an empty status if there is none."""
    for one in entries(status_of(body), "conditions"):
        if one.get("type") == name:
            return Condition(
                str(one.get("status", "")),
                one.get("reason") or "",
                one.get("message") or "",
                instant(one.get("lastTransitionTime")),
            )
    return Condition("")


def status_of(body: Body) -> dict[str, Any]:
    """Return an object's `status`; empty if it has none."""
    return part(body, "status")


def part(body: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """Return a mapping within an object; empty if it is not there."""
    value: Any = body
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) else {}


def entries(body: Mapping[str, Any], name: str) -> Sequence[dict[str, Any]]:
    """Return a list of mappings within an object; empty if it is not there."""
    value = body.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def instant(text: object) -> datetime | None:
    """Read a time as Kubernetes writes it; None if it is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None
    except ValueError:
        return None
