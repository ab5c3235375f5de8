"""Functions of agents: what instances registered, and what a target names."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from stellwerk.fleet.model import NODES, AgentView
from stellwerk.settings import FunctionSettings
from stellwerk.traffic.execution import Kind, Target
from stellwerk.traffic.refusals import UnknownTarget

IDEMPOTENT = "idempotent"
"""Tag of a function that may be called again where nobody knows whether it ran."""
LONGEST_TARGET = 600


class Function(msgspec.Struct, frozen=True, gc=False):
    """One function, over all versions of its agent that have it."""

    kind: Kind
    idempotent: bool
    versions: frozenset[str]


def functions_of(view: AgentView, declared: Mapping[str, FunctionSettings]) -> dict[str, Function]:
    """Return the functions of an agent by name; `declared` is what operators know of targets.

    A function may be repeated only if every version that has it says so, or operators do.
    """
    found: dict[str, Function] = {}
    for version, kind, name, idempotent in _registered(view):
        known = found.get(name)
        if known is None:
            found[name] = Function(kind, idempotent, frozenset((version,)))
        else:
            repeatable = known.idempotent and idempotent
            found[name] = Function(known.kind, repeatable, known.versions | {version})
    for name, one in found.items():
        facts = declared.get(f"{view.group}.{name}")
        if facts is not None and facts.idempotent:
            found[name] = Function(one.kind, True, one.versions)
    return found


def resolve(
    text: str,
    find: Callable[[str], AgentView | None],
    functions: Callable[[AgentView], Mapping[str, Function]],
) -> Target:
    """Find what a target names: ids may hold dots, so the longest registered one wins.

    Raises UnknownTarget.
    """
    if len(text) > LONGEST_TARGET or not text.isprintable():
        raise UnknownTarget(text[:LONGEST_TARGET], f"a target has at most {LONGEST_TARGET} characters")
    at, known = len(text), None
    while (at := text.rfind(".", 0, at)) > 0:
        view = find(text[:at])
        if view is None or view.joined_through != NODES:
            continue
        known = known or view.group
        function = functions(view).get(text[at + 1 :])
        if function is not None:
            return Target(view.group, text[at + 1 :], function.kind)
    if known is not None:
        name = text[len(known) + 1 :]
        raise UnknownTarget(text, f"agent '{known}' has no function '{name}'")
    if "." not in text:
        raise UnknownTarget(text, "a target is written agent.function")
    raise UnknownTarget(text, f"agent '{text.rpartition('.')[0]}' not found")


def _registered(view: AgentView) -> Iterator[tuple[str, Kind, str, bool]]:
    kinds: tuple[tuple[str, Kind], ...] = (("reasoners", "reasoner"), ("skills", "skill"))
    for one in view.instances:
        for field, kind in kinds:
            listed = one.metadata.get(field)
            for function in listed if isinstance(listed, list | tuple) else ():
                name = function.get("id") if isinstance(function, dict) else None
                if isinstance(name, str):
                    yield one.version, kind, name, _is_idempotent(function)


def _is_idempotent(function: Mapping[str, Any]) -> bool:
    tags = function.get("tags")
    return isinstance(tags, list | tuple) and IDEMPOTENT in tags
