"""Server-side apply: who owns which field, and what an apply makes of an object.

A field's path is a tuple of names; an item of a list that has keys is named by them, every other list is one
value (`lists.py` has the table). A manager owns the paths of the values that its last text had; whoever
changes a value in another way owns it as well, apart from what the same name applied.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from stellwerk.release.clusters.errors import Conflict, OwnedField
from stellwerk.release.clusters.sandbox.lists import DEFAULTS, Lists, lists_of
from stellwerk.release.objects import Body, group_of

Path = tuple[Any, ...]


class Manager(NamedTuple):
    """Who owns fields, and by which kind of write."""

    name: str
    operation: Literal["Apply", "Update"] = "Apply"


Owners = Mapping[Manager, frozenset[Path]]

_NAMING = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
_SERVERS = frozenset({"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"})
"""Parts of `metadata` that nobody owns."""


class Item(NamedTuple):
    """A step into a list: what names the item; one that is a plain value names itself, under no name."""

    keys: tuple[tuple[str, Any], ...]


class Merged(NamedTuple):
    """What an apply makes of an object."""

    body: Body
    owners: dict[Manager, frozenset[Path]]


def apply(live: Body | None, owners: Owners, text: Body, manager: str, *, force: bool) -> Merged:
    """Merge a text into an object. Raises Conflict unless `force`."""
    us, lists = Manager(manager), _lists_of(text)
    wanted = {path: value for path, value in _leaves(text, (), lists) if _is_ownable(path)}
    present = dict(_leaves(live or {}, (), lists))
    taken = [
        (path, other)
        for path, value in wanted.items()
        for other, theirs in owners.items()
        if other != us and path in theirs and path in present and present[path] != value
    ]
    if taken and not force:
        raise Conflict([OwnedField(other.name, shown(path)) for path, other in taken])
    lost = frozenset(path for path, _ in taken)
    kept = {other: theirs - lost for other, theirs in owners.items() if other != us}
    there = frozenset(wanted) | _union(kept.values())
    # What was an empty mapping and has members now is no leaf any more, and is not gone.
    holders = {path[:length] for path in there for length in range(1, len(path))}
    gone = owners.get(us, frozenset()) - there - holders
    body = _merge(live or {}, text, lists)
    for path in sorted(gone, key=len, reverse=True):
        _remove(body, path)
    return Merged(body, {other: paths for other, paths in kept.items() if paths} | {us: frozenset(wanted)})


def updated(before: Body, after: Body, owners: Owners, manager: str) -> dict[Manager, frozenset[Path]]:
    """Return who owns what after a write that is no apply: its author has what it changed."""
    us, lists = Manager(manager, "Update"), _lists_of(after)
    old, new = dict(_leaves(before, (), lists)), dict(_leaves(after, (), lists))
    changed = frozenset(
        path
        for path, value in new.items()
        if _is_ownable(path) and path[0] != "status" and (path not in old or old[path] != value)
    )
    moved = changed | (old.keys() - new.keys())
    kept = {other: paths - moved for other, paths in owners.items()}
    ours = kept.get(us, frozenset()) | changed
    return {other: paths for other, paths in (kept | {us: ours}).items() if paths}


def merged_by_keys(live: Any, patch: Any, lists: Lists) -> Any:
    """Merge a strategic patch: maps field by field, lists item by item where they have keys."""
    if isinstance(live, dict) and isinstance(patch, dict):
        found = dict(live)
        for name, value in patch.items():
            if value is None:
                found.pop(name, None)
            else:
                found[name] = merged_by_keys(live.get(name), value, lists.at(name))
        return found
    after = _items(patch, lists)
    if after is None:
        return patch
    before = _items(live, lists) or {}
    deleted = {
        item for item, inner in after.items() if isinstance(inner, dict) and inner.get("$patch") == "delete"
    }
    joined = {item: merged_by_keys(before.get(item), inner, lists) for item, inner in after.items()}
    return [inner for item, inner in (before | joined).items() if item not in deleted]


def shown(path: Path) -> str:
    """Return a path as the API server writes it."""
    text = ""
    for step in path:
        if isinstance(step, Item):
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in step.keys) + "]"
        else:
            text += f".{step}"
    return text


def managed_fields(owners: Owners, api_version: str, at: str) -> list[dict[str, Any]]:
    """Return what `metadata.managedFields` says about owners."""
    return [
        {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": api_version,
            "time": at,
            "fieldsType": "FieldsV1",
            "fieldsV1": _fields(paths),
        }
        for manager, paths in sorted(owners.items())
    ]


def without_nulls(value: Any) -> Any:
    """Return a text without fields that say nothing, as `creationTimestamp: null` does."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _lists_of(body: Body) -> Lists:
    return lists_of(group_of(body.get("apiVersion", "")), body.get("kind", ""))


def _fields(paths: Iterable[Path]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path in sorted(paths, key=str):
        place = root
        for step in path:
            place = place.setdefault(_field(step), {})
    return root


def _field(step: Any) -> str:
    if not isinstance(step, Item):
        return f"f:{step}"
    keys = dict(step.keys)
    named = keys.get("") if "" in keys else keys
    return f"{'v' if '' in keys else 'k'}:{json.dumps(named, separators=(',', ':'), sort_keys=True)}"


def _is_ownable(path: Path) -> bool:
    return path not in _NAMING and not (path[0] == "metadata" and path[1:2] and path[1] in _SERVERS)


def _union(sets: Iterable[frozenset[Path]]) -> frozenset[Path]:
    return frozenset().union(*sets)


def _leaves(value: Any, path: Path, lists: Lists) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name), lists.at(name))
    elif (items := _items(value, lists)) is not None and value:
        for item, inner in items.items():
            yield from _leaves(inner, (*path, item), lists)
    else:
        yield path, value


def _items(value: Any, lists: Lists) -> dict[Item, Any] | None:
    """Return a list's items by what names them; None if it is one value."""
    if lists.keys is None or not isinstance(value, list):
        return None
    found = {_item(inner, lists.keys): inner for inner in value}
    return found if len(found) == len(value) else None


def _item(inner: Any, keys: Sequence[str]) -> Item:
    if not isinstance(inner, dict):
        return Item((("", inner),))
    named = ((name, inner.get(name, DEFAULTS.get(name))) for name in keys)
    return Item(tuple((name, value) for name, value in named if value is not None))


def _merge(live: Any, text: Any, lists: Lists) -> Any:
    if isinstance(live, dict) and isinstance(text, dict):
        names = [*live, *(name for name in text if name not in live)]
        return {
            name: _merge(live.get(name), text[name], lists.at(name)) if name in text else live[name]
            for name in names
        }
    before, after = _items(live, lists), _items(text, lists)
    if before is not None and after is not None:
        merged = {item: _merge(before.get(item), inner, lists) for item, inner in after.items()}
        return [*merged.values(), *(inner for item, inner in before.items() if item not in merged)]
    return text


def _remove(body: Any, path: Path) -> None:
    """Take a field out, and what is left empty by that."""
    step, *rest = path
    if isinstance(step, Item) and isinstance(body, list):
        for index, item in enumerate(body):
            if _item(item, [name for name, _ in step.keys]) == step:
                _take(body, index, tuple(rest), kept={name for name, _ in step.keys})
                return
    elif isinstance(body, dict) and step in body:
        _take(body, step, tuple(rest), kept=set())


def _take(holder: Any, place: Any, rest: Path, *, kept: set[str]) -> None:
    """Take a field out of a part of an object, and the part if nothing but `kept` is left of it."""
    inner = holder[place]
    if rest and isinstance(inner, dict | list):
        # The rest of the object is shared with what was answered before.
        copied = holder[place] = dict(inner) if isinstance(inner, dict) else list(inner)
        _remove(copied, rest)
        if copied if isinstance(copied, list) else copied.keys() - kept:
            return
    del holder[place]
