"""Check parameters against a struct and tell every fault at once.

msgspec stops at the first fault, so each field is converted by itself; nested structs, lists and mappings are
walked. A struct may add rules over several fields: `rules(values)` is handed those that converted.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from stellwerk.agent.executors.executor import Failed

P = TypeVar("P", bound="Parameters")


class Parameters(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What a task type takes; camelCase on the wire."""

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """List faults that lie between fields; `values` holds the fields that are right by themselves, those
        absent with their defaults."""
        return []


def faults(shape: type[Parameters], payload: object, at: str = "") -> list[str]:
    """List every fault of `payload`, each with the path of what is wrong; empty when there is none."""
    if not isinstance(payload, Mapping):
        return [f"{at or 'payload'}: expected an object, got {_kind(payload)}"]
    found: list[str] = []
    values: dict[str, Any] = {}
    known = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    found += [
        f"{_path(at, name)}: unknown parameter{_suggestion(name, known)}"
        for name in payload
        if name not in known
    ]
    for name, field in known.items():
        if name in payload:
            wrong = _faults_of(field.type, payload[name], _path(at, name))
            found += wrong
            if not wrong:
                values[field.name] = msgspec.convert(payload[name], field.type)
        elif field.required:
            found.append(f"{_path(at, name)}: required")
        else:
            values[field.name] = (
                field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            )
    return found + [f"{at}: {rule}" if at else rule for rule in shape.rules(values)]


def read(shape: type[P], payload: Mapping[str, Any]) -> P:
    """Make the struct; raises Failed (`parameters.invalid`) with every fault in `result`."""
    found = faults(shape, payload)
    if found:
        raise Failed("parameters.invalid", "; ".join(found), result={"faults": found})
    return msgspec.convert(payload, shape)


def _faults_of(kind: Any, value: object, at: str) -> list[str]:
    """Walk into what has parts, convert what has none."""
    bare = _without_none(kind)
    if value is None and bare is not kind:
        return []
    if isinstance(bare, type) and issubclass(bare, Parameters):
        return faults(bare, value, at)
    parts = _parts(bare, value)
    if parts is not None:
        found = [fault for path, item_kind, item in parts for fault in _faults_of(item_kind, item, at + path)]
        if found:
            return found
    try:
        msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        return [f"{at}: {_plain(str(error))}"]
    return []


def _parts(kind: Any, value: object) -> list[tuple[str, Any, object]] | None:
    """Take a list or mapping apart: (path, kind, item) of each; None for what has no parts."""
    if get_origin(kind) is typing.Annotated:
        kind = get_args(kind)[0]
    arguments = get_args(kind)
    if get_origin(kind) in (list, tuple) and isinstance(value, Sequence) and not isinstance(value, str):
        return [(f"[{index}]", arguments[0], item) for index, item in enumerate(value)]
    if get_origin(kind) is dict and isinstance(value, Mapping):
        return [(f".{key}", arguments[1], item) for key, item in value.items()]
    return None


def _without_none(kind: Any) -> Any:
    """Strip `None` from an optional of one kind; other unions stay whole."""
    if get_origin(kind) in (types.UnionType, typing.Union):
        others = [one for one in get_args(kind) if one is not type(None)]
        if len(others) == 1:
            return others[0]
    return kind


def _path(at: str, name: object) -> str:
    return f"{at}.{name}" if at else str(name)


def _plain(message: str) -> str:
    """Reword msgspec's message for a line that names the path itself."""
    message = message.partition(" - at ")[0].replace("`", "")
    return message[:1].lower() + message[1:]


def _suggestion(name: object, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
