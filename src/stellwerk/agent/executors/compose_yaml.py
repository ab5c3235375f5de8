"""Read the text of a compose file: YAML without surprises, and its variables filled in.

YAML lets a key stand twice and a few lines stand for billions of nodes; both are refused. Variables are
written as in compose files: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`,
and `$$` for a dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

SIZE_LIMIT: Final = 256 * 1024
NODE_LIMIT: Final = 20_000

VARIABLE: Final = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?])(?P<word>[^}]*))?\}|(?P<wrong>))"
)


class Unreadable(Exception):
    """The text is no compose file; the message says where it goes wrong."""


class _Loader(yaml.SafeLoader):
    """The safe loader, refusing keys that stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Construct, after a look at the keys as they are written."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise Unreadable(f"line {key.start_mark.line + 1}: the key {key.value!r} stands twice")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(slots=True)
class Variables:
    """Values by name, and which names were asked for in vain."""

    values: Mapping[str, str]
    missing: dict[str, str] = field(default_factory=dict)
    """Name and what is said about it."""

    def fill(self, node: Any) -> Any:
        """Fill in every text of a tree; keys stay as they are."""
        if isinstance(node, str):
            return VARIABLE.sub(self._one, node)
        if isinstance(node, dict):
            return {key: self.fill(value) for key, value in node.items()}
        if isinstance(node, list):
            return [self.fill(value) for value in node]
        return node

    def _one(self, found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        name = found["bare"] or found["name"]
        if name is None:
            self.missing[found.string] = f"{found.string!r}: a dollar sign is written $$"
            return ""
        value, how = self.values.get(name), found["how"] or ""
        if value or (value is not None and not how.startswith(":")):
            return value
        if how.endswith("-"):
            return str(found["word"])
        said = found["word"] if how.endswith("?") else ""
        self.missing[name] = f"variable {name} is not set" + (f": {said}" if said else "")
        return ""


def load(text: str) -> dict[str, Any]:
    """Read the YAML; raises Unreadable."""
    if len(text.encode()) > SIZE_LIMIT:
        raise Unreadable(f"larger than {SIZE_LIMIT} bytes")
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506  # a subclass of the safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Unreadable(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise Unreadable("expected a mapping with `services`")
    _count(tree)
    return tree


def _count(tree: Any) -> None:
    """Refuse a tree that aliases have blown up, or that contains itself."""
    waiting, seen = [tree], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > NODE_LIMIT:
            raise Unreadable(f"more than {NODE_LIMIT} nodes")
        if isinstance(node, dict):
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
