"""What differs between an object as it is and as it would be, field by field.

Only the API server knows what it makes of a text: defaults, quantities, merged lists. So `covers` says only
where nothing can differ, and a dry run decides the rest; its result is compared with what is there.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stellwerk.release.clusters.bookkeeping import BOOKKEEPING
from stellwerk.release.objects import Body

_KEYS = ("name", "containerPort", "port", "mountPath", "key", "ip", "topologyKey", "type", "uid")
_ABSENT = object()
HIDDEN = "(hidden)"
"""Stands for every value of a Secret."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that changes."""

    path: str
    """`spec.containers[name=web].image`."""
    old: Any
    """None where the field is new."""
    new: Any
    """None where the field goes away."""


def covers(wanted: Any, live: Any) -> bool:
    """Tell whether an object surely has everything that is wanted; False means that it may not."""
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return not wanted and live is None
        return all(covers(value, live.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list):
            return not wanted and live is None
        return len(wanted) == len(live) and all(map(covers, wanted, live))
    return _equal(wanted, live)


def covers_object(wanted: Body, live: Body) -> bool:
    """Tell the same of whole objects, whose Secrets may be written in two ways."""
    if wanted.get("kind") == "Secret" and wanted.get("stringData"):
        wanted = _with_data(wanted)
    return covers(wanted, live)


def changes(old: Body, new: Body) -> tuple[FieldChange, ...]:
    """List what differs between two states of an object; what the server alone writes is left out."""
    secret = old.get("kind") == "Secret" and old.get("apiVersion") == "v1"
    found = _differences("", _comparable(old), _comparable(new))
    return tuple(_masked(change) if secret else change for change in found)


def _with_data(wanted: Body) -> Body:
    texts = {
        name: base64.b64encode(str(text).encode()).decode() for name, text in wanted["stringData"].items()
    }
    rest = {name: value for name, value in wanted.items() if name != "stringData"}
    return rest | {"data": (wanted.get("data") or {}) | texts}


def _comparable(body: Body) -> Body:
    metadata = {name: value for name, value in body.get("metadata", {}).items() if name not in BOOKKEEPING}
    return {name: value for name, value in body.items() if name != "status"} | {"metadata": metadata}


def _masked(change: FieldChange) -> FieldChange:
    if not change.path.startswith(("data", "stringData")):
        return change
    return FieldChange(
        change.path,
        None if change.old is None else HIDDEN,
        None if change.new is None else HIDDEN,
    )


def _differences(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _between(_field(path, name), old.get(name, _ABSENT), new.get(name, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(path, old, new)
    elif not _equal(old, new):
        yield FieldChange(path, old, new)


def _between(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    if old is _ABSENT or new is _ABSENT:
        # A whole Secret's data that appears or goes away must still be masked name by name.
        yield FieldChange(path, None if old is _ABSENT else old, None if new is _ABSENT else new)
    else:
        yield from _differences(path, old, new)


def _of_lists(path: str, old: list[Any], new: list[Any]) -> Iterator[FieldChange]:
    for key in _KEYS:
        before, after = _by(key, old), _by(key, new)
        if before is not None and after is not None:
            for one in sorted(before.keys() | after.keys(), key=str):
                yield from _between(f"{path}[{key}={one}]", before.get(one, _ABSENT), after.get(one, _ABSENT))
            if before.keys() == after.keys() and [*before] != [*after]:
                yield FieldChange(f"{path} (order)", [*before], [*after])
            return
    if len(old) != len(new) or not all(isinstance(one, dict | list) for one in [*old, *new]):
        if not _equal(old, new):
            yield FieldChange(path, old, new)
        return
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        yield from _differences(f"{path}[{index}]", before, after)


def _by(key: str, items: list[Any]) -> dict[Any, Any] | None:
    """Return the items by what names them; None if that does not name each."""
    found: dict[Any, Any] = {}
    for item in items:
        name = item.get(key) if isinstance(item, dict) else None
        if not isinstance(name, str | int) or name in found:
            return None
        found[name] = item
    return found


def _field(path: str, name: str) -> str:
    if "." in name or "/" in name:
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _equal(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1, and 1 is 1.0."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
