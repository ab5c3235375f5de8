"""Server-side apply: who owns which field, and what an apply makes of an object.

A field's path is a tuple of names; an item of a list that has keys is named by them, every other list is one
value. A manager owns the paths of the values that its last text had.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from stellwerk.release.clusters.errors import Conflict, OwnedField
from stellwerk.release.clusters.sandbox.kinds import LIST_KEYS, is_built_in
from stellwerk.release.objects import Body

Path = tuple[Any, ...]
Owners = Mapping[str, frozenset[Path]]
"""By the name of the manager."""

_NAMING = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}


class _Item(NamedTuple):
    """A step into a list: what names the item."""

    keys: tuple[tuple[str, Any], ...]


class Merged(NamedTuple):
    """What an apply makes of an object."""

    body: Body
    owners: dict[str, frozenset[Path]]


def apply(live: Body | None, owners: Owners, text: Body, manager: str, *, force: bool) -> Merged:
    """Merge a text into an object. Raises Conflict unless `force`."""
    keyed = is_built_in(text.get("apiVersion", ""))
    wanted = {path: value for path, value in _leaves(text, (), keyed) if path not in _NAMING}
    present = dict(_leaves(live or {}, (), keyed))
    taken = [
        (path, other)
        for path, value in wanted.items()
        for other, theirs in owners.items()
        if other != manager and path in theirs and path in present and present[path] != value
    ]
    if taken and not force:
        raise Conflict([OwnedField(other, shown(path)) for path, other in taken])
    lost = frozenset(path for path, _ in taken)
    kept = {other: theirs - lost for other, theirs in owners.items() if other != manager}
    gone = owners.get(manager, frozenset()) - wanted.keys() - _union(kept.values())
    body = _merge(live or {}, text, keyed)
    for path in sorted(gone, key=len, reverse=True):
        _remove(body, path, keyed)
    return Merged(
        body, {other: paths for other, paths in kept.items() if paths} | {manager: frozenset(wanted)}
    )


def shown(path: Path) -> str:
    """Return a path as the API server writes it."""
    text = ""
    for step in path:
        if isinstance(step, _Item):
            text += "[" + ",".join(f'{name}="{value}"' for name, value in step.keys) + "]"
        else:
            text += f".{step}"
    return text


def leaves(value: Body, *, body: Body) -> Iterator[tuple[Path, Any]]:
    """List the fields of a part of an object with their paths."""
    return _leaves(value, (), is_built_in(body.get("apiVersion", "")))


def _union(sets: Iterable[frozenset[Path]]) -> frozenset[Path]:
    return frozenset().union(*sets)


def _leaves(value: Any, path: Path, keyed: bool) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name), keyed)
    elif (items := _items(value, path, keyed)) is not None:
        for item, inner in items.items():
            yield from _leaves(inner, (*path, item), keyed)
    else:
        yield path, value


def _items(value: Any, path: Path, keyed: bool) -> dict[_Item, Any] | None:
    """Return a list's items by what names them; None if it is one value."""
    if not keyed or not isinstance(value, list) or not value or not path or path[-1] not in LIST_KEYS:
        return None
    found = {}
    for item in value:
        if not isinstance(item, dict):
            return None
        keys = tuple((name, item[name]) for name in LIST_KEYS[path[-1]] if name in item)
        if not keys:
            return None
        found[_Item(keys)] = item
    return found if len(found) == len(value) else None


def _merge(live: Any, text: Any, keyed: bool, path: Path = ()) -> Any:
    if isinstance(live, dict) and isinstance(text, dict):
        names = [*live, *(name for name in text if name not in live)]
        return {
            name: _merge(live.get(name), text[name], keyed, (*path, name)) if name in text else live[name]
            for name in names
        }
    before, after = _items(live, path, keyed), _items(text, path, keyed)
    if before is not None and after is not None:
        merged = {
            item: _merge(before.get(item), inner, keyed, (*path, item)) for item, inner in after.items()
        }
        return [*merged.values(), *(inner for item, inner in before.items() if item not in merged)]
    return text


def _remove(body: Any, path: Path, keyed: bool) -> None:
    """Take a field out, and what is left empty by that."""
    step, *rest = path
    if isinstance(step, _Item):
        for index, item in enumerate(body):
            if all(item.get(name) == value for name, value in step.keys):
                _take(
                    body,
                    index,
                    item,
                    tuple(rest),
                    keyed,
                    emptied=lambda one: one.keys() <= dict(step.keys).keys(),
                )
                return
    elif isinstance(body, dict) and step in body:
        _take(body, step, body[step], tuple(rest), keyed, emptied=lambda one: not one)


def _take(holder: Any, place: Any, inner: Any, rest: Path, keyed: bool, *, emptied: Any) -> None:
    if rest and isinstance(inner, dict | list):
        # The rest of the object is shared with what was answered before.
        copied = holder[place] = dict(inner) if isinstance(inner, dict) else list(inner)
        _remove(copied, rest, keyed)
        if not emptied(copied):
            return
    del holder[place]
