"""YAML as Kubernetes reads it, with the line of every value.

The rules of YAML 1.1 that `kubectl` does not follow are left out: dates stay text and `1:30` is no number.
What JSON has no word for (sets, binary, infinite numbers) is refused, and so is a name that stands twice in
one mapping, of which one value would be lost without a word. Aliases are copied, within a limit: a text of
some lines could stand for a billion values.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from stellwerk.release.yaml_nodes import (
    DEEPEST,
    FLOAT,
    INTEGER,
    PREFIX,
    Listing,
    Malformed,
    Mapping,
    Node,
    Scalar,
)

__all__ = ["DEEPEST", "MOST_VALUES", "Document", "Malformed", "read_documents"]

MOST_VALUES = 200_000
"""Values of one document after its aliases were copied; a ConfigMap of 1 MiB has some ten thousand."""

_WORDS = {
    "null": None,
    "~": None,
    "": None,
    "true": True,
    "yes": True,
    "on": True,
    "false": False,
    "no": False,
    "off": False,
}

Path = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text."""

    value: Any
    """As JSON would hold it."""
    root: Node = field(repr=False)

    def line_of(self, path: Path = ()) -> int:
        """Return the line on which the value stands, or the nearest one above that is there."""
        node = self.root
        line = node.line
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line


def read_documents(text: str) -> Iterator[Document]:
    """List the documents of a text; empty ones are left out. Raises Malformed."""
    # Loaded at the first text: a server that deploys nothing has no use for a parser.
    from stellwerk.release.yaml_composing import compose

    for root in compose(text):
        value = _Builder().build(root, 0)
        if value is not None:
            yield Document(value, root)


class _Builder:
    """Makes JSON of one document's nodes."""

    def __init__(self) -> None:
        self._values = 0

    def build(self, node: Node, depth: int) -> Any:
        self._values += 1
        if depth > DEEPEST:
            raise Malformed(
                node.line, f"is nested deeper than {DEEPEST} levels", "an alias must not contain itself"
            )
        line = node.line
        if depth > DEEPEST:
            raise Malformed(
                line, f"is nested deeper than {DEEPEST} levels", "an alias must not contain itself"
            )
        if self._values > MOST_VALUES:
            raise Malformed(line, f"stands for more than {MOST_VALUES} values", "use fewer aliases")
        if isinstance(node, Scalar):
            return _scalar(node)
        if isinstance(node, Listing):
            _expect_tag(node, "seq")
            return [self.build(item, depth + 1) for item in node.items]
        if not isinstance(node, Mapping):
            raise Malformed(node.line, "is no value that JSON has")
        return self._mapping(node, depth)

    def _mapping(self, node: Mapping, depth: int) -> dict[str, Any]:
        _expect_tag(node, "map")
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.pairs:
            if key.tag == PREFIX + "merge":
                for part in value.items if isinstance(value, Listing) else [value]:
                    merged = self._merged(part, depth) | merged
                continue
            name = _name(key)
            if name in own:
                raise Malformed(key.line, f"`{name}` stands twice in this mapping", "keep one of the two")
            own[name] = self.build(value, depth + 1)
        return merged | own if merged else own

    def _merged(self, node: Node, depth: int) -> dict[str, Any]:
        if not isinstance(node, Mapping):
            raise Malformed(node.line, "`<<` takes a mapping, or a list of mappings")
        value: dict[str, Any] = self.build(node, depth + 1)
        return value


def _scalar(node: Scalar) -> Any:
    kind, text = node.tag.removeprefix(PREFIX), node.text
    match kind:
        case "str" | "merge" | "timestamp":
            return text
        case "null" | "bool" if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        case "int" if INTEGER.match(text):
            return _integer(text)
        case "float" if FLOAT.match(text) or INTEGER.match(text):
            return _float(node, text)
        case _:
            raise Malformed(node.line, f"{text!r} cannot be read as {node.tag}", "leave the tag out")


def _integer(text: str) -> int:
    plain = text.replace("_", "")
    sign, digits = (-1, plain[1:]) if plain.startswith("-") else (1, plain.removeprefix("+"))
    if digits.startswith("0") and digits[1:2].isdigit():
        digits = f"0o{digits[1:]}"  # a file mode: 0644
    return sign * int(digits, 0)


def _float(node: Node, text: str) -> float | str:
    if text.lstrip("+-").lower() in {".inf", ".nan"}:
        raise Malformed(node.line, f"{text} is no number that JSON has", "quote it")
    number = float(text)
    return number if math.isfinite(number) else text


def _name(key: Node) -> str:
    if not isinstance(key, Scalar):
        raise Malformed(
            key.line,
            "a name is a plain text, not a list or a mapping",
            "quote what begins with { or [",
        )
    value = _scalar(key)
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case _:
            return str(value)


def _expect_tag(node: Node, kind: str) -> None:
    if node.tag != PREFIX + kind:
        raise Malformed(node.line, f"{node.tag} is no tag that JSON has", "leave the tag out")


def _child(node: Node, step: str | int) -> tuple[int, Node] | None:
    if isinstance(node, Listing) and isinstance(step, int) and step < len(node.items):
        item = node.items[step]
        return item.line, item
    if isinstance(node, Mapping):
        for key, value in node.pairs:
            if _name(key) == step:
                return key.line, value
    return None
