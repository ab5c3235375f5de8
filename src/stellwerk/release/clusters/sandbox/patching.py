"""Patches: what each type of them makes of an object."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from stellwerk.release.clusters.cluster import PatchType
from stellwerk.release.clusters.errors import Refused
from stellwerk.release.clusters.sandbox.lists import lists_of
from stellwerk.release.clusters.sandbox.merging import merged_by_keys
from stellwerk.release.objects import Body, group_of

Operations = Sequence[Mapping[str, Any]]


def patched(live: Body, patch: Mapping[str, Any] | Operations, patch_type: PatchType) -> Body:
    """Return what a patch makes of an object. Raises Refused."""
    match patch_type, patch:
        case "json", list() | tuple():
            return _by_operations(live, patch)
        case "merge", Mapping():
            return dict(_merged(live, patch))
        case "strategic", Mapping():
            lists = lists_of(group_of(live["apiVersion"]), live["kind"])
            return dict(merged_by_keys(live, dict(patch), lists))
        case _:
            raise Refused("invalid", f"this is no {patch_type} patch", 400)


def _merged(live: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(live) if isinstance(live, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), value)
    return found


def _by_operations(live: Body, operations: Operations) -> Body:
    """Apply a JSON patch (RFC 6902): all of it or nothing."""
    found = copy.deepcopy(live)
    for one in operations:
        try:
            _operate(found, one)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            path = one.get("path")
            raise Refused(
                "invalid", f"the operation {one.get('op')} of {path} does not apply", 422
            ) from error
    return found


def _operate(body: Any, one: Mapping[str, Any]) -> None:
    path = _steps(one["path"])
    match one["op"]:
        case "add":
            _add(body, path, copy.deepcopy(one["value"]))
        case "remove":
            _take(body, path)
        case "replace":
            _take(body, path)
            _add(body, path, copy.deepcopy(one["value"]))
        case "move":
            _add(body, path, _take(body, _steps(one["from"])))
        case "copy":
            _add(body, path, copy.deepcopy(_read(body, _steps(one["from"]))))
        case "test":
            if _read(body, path) != one["value"]:
                raise ValueError("another value")
        case other:
            raise ValueError(other)


def _steps(pointer: str) -> list[str]:
    if not pointer.startswith("/"):
        raise ValueError(pointer)
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _read(body: Any, path: Sequence[str]) -> Any:
    for step in path:
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


def _add(body: Any, path: Sequence[str], value: Any) -> None:
    holder, last = _read(body, path[:-1]), path[-1]
    if isinstance(holder, list):
        place = len(holder) if last == "-" else int(last)
        if not 0 <= place <= len(holder):
            raise IndexError(last)
        holder.insert(place, value)
    else:
        holder[last] = value


def _take(body: Any, path: Sequence[str]) -> Any:
    holder, last = _read(body, path[:-1]), path[-1]
    return holder.pop(int(last) if isinstance(holder, list) else last)
