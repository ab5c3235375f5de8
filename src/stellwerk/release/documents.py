"""YAML as Kubernetes reads it, with the line of every value.

The rules of YAML 1.1 that `kubectl` does not follow are left out: dates stay text and `1:30` is no number.
What JSON has no word for (sets, binary, infinite numbers) is refused, and so is a name that stands twice in
one mapping, of which one value would be lost without a word. Aliases are copied, within a limit: a text of
some lines could stand for a billion values.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Parser  # ten times as fast
except ImportError:
    from yaml import SafeLoader as _Parser  # type: ignore[assignment]

DEEPEST = 64
"""Levels of one document; the API server takes no more than that by far."""
MOST_VALUES = 200_000
"""Values of one document after its aliases were copied; a ConfigMap of 1 MiB has some ten thousand."""

_PREFIX = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)\Z")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"
)
_IMPLICIT = [
    (frozenset(first), re.compile(pattern), _PREFIX + kind)
    for first, pattern, kind in (
        (
            [*"yYnNtTfFoO"],
            r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)\Z",
            "bool",
        ),
        ([*"-+0123456789"], _INTEGER.pattern, "int"),
        ([*"-+.0123456789"], _FLOAT.pattern, "float"),
        ([*"~nN", ""], r"(?:~|null|Null|NULL|)\Z", "null"),
        ([*"<"], r"<<\Z", "merge"),
    )
]
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


class Malformed(Exception):
    """A text is not what Kubernetes could read; `line` counts from 1."""

    def __init__(self, line: int, message: str, advice: str = "") -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message
        self.advice = advice


@dataclass(slots=True)
class _Node:
    """A part of a text before it becomes a value; an alias is the node that it stands for."""

    tag: str
    line: int


@dataclass(slots=True)
class _Scalar(_Node):
    text: str


@dataclass(slots=True)
class _Sequence(_Node):
    items: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Mapping(_Node):
    pairs: list[tuple[_Node, _Node]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text."""

    value: Any
    """As JSON would hold it."""
    root: _Node = field(repr=False)

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
    loader = _Parser(text)
    try:
        while not loader.check_event(yaml.StreamEndEvent):
            if loader.check_event(yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent):
                loader.get_event()
                continue
            root = _Composer(loader).compose(0)
            value = _Builder().build(root, 0)
            if value is not None:
                yield Document(value, root)
    except yaml.YAMLError as error:
        raise _malformed(error) from None
    finally:
        loader.dispose()


class _Composer:
    """Makes nodes of one document's events. The library's own composer has no bound: it ends the process."""

    def __init__(self, loader: _Parser) -> None:
        self._loader = loader
        self._anchors: dict[str, _Node] = {}

    def compose(self, depth: int) -> _Node:
        event: Any = self._loader.get_event()
        line = event.start_mark.line + 1
        if depth > DEEPEST:
            raise Malformed(line, f"is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(str(event.anchor), line)
        node = self._begun(event, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if isinstance(node, _Sequence):
            while not self._ended(yaml.SequenceEndEvent):
                node.items.append(self.compose(depth + 1))
        elif isinstance(node, _Mapping):
            while not self._ended(yaml.MappingEndEvent):
                key = self.compose(depth + 1)
                node.pairs.append((key, self.compose(depth + 1)))
        return node

    def _begun(self, event: Any, line: int) -> _Node:
        own = event.tag if event.tag and event.tag != "!" else None
        if isinstance(event, yaml.ScalarEvent):
            return _Scalar(own or _plain_tag(event.value, event.implicit[0]), line, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return _Sequence(own or _PREFIX + "seq", line)
        return _Mapping(own or _PREFIX + "map", line)

    def _ended(self, end: type[yaml.Event]) -> bool:
        if not self._loader.check_event(end):
            return False
        self._loader.get_event()
        return True

    def _aliased(self, anchor: str, line: int) -> _Node:
        if anchor not in self._anchors:
            raise Malformed(line, f"undefined alias *{anchor}", f"set &{anchor} above")
        return self._anchors[anchor]


def _plain_tag(text: str, plain: bool) -> str:
    """Return what a scalar without a tag is: text, unless it is plain and looks like something else."""
    if plain:
        for first, pattern, tag in _IMPLICIT:
            if text[:1] in first and pattern.match(text):
                return tag
    return _PREFIX + "str"


def _malformed(error: yaml.YAMLError) -> Malformed:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    line = mark.line + 1 if mark else 1
    if "\\t" in problem or "cannot start any token" in problem:
        return Malformed(
            line, f"is not valid YAML: {problem}", "indent with spaces, and quote what begins with @, ` or %"
        )
    if "mapping values are not allowed" in problem:
        return Malformed(
            line, f"is not valid YAML: {problem}", "quote the value, or look at the indentation of this line"
        )
    return Malformed(
        line,
        f"is not valid YAML: {problem}",
        "look at the indentation and the quotes of this line and the one above",
    )


class _Builder:
    """Makes JSON of one document's nodes."""

    def __init__(self) -> None:
        self._values = 0

    def build(self, node: _Node, depth: int) -> Any:
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
        if isinstance(node, _Scalar):
            return _scalar(node)
        if isinstance(node, _Sequence):
            _expect_tag(node, "seq")
            return [self.build(item, depth + 1) for item in node.items]
        if not isinstance(node, _Mapping):
            raise Malformed(node.line, "is no value that JSON has")
        return self._mapping(node, depth)

    def _mapping(self, node: _Mapping, depth: int) -> dict[str, Any]:
        _expect_tag(node, "map")
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.pairs:
            if key.tag == _PREFIX + "merge":
                for part in value.items if isinstance(value, _Sequence) else [value]:
                    merged = self._merged(part, depth) | merged
                continue
            name = _name(key)
            if name in own:
                raise Malformed(key.line, f"`{name}` stands twice in this mapping", "keep one of the two")
            own[name] = self.build(value, depth + 1)
        return merged | own if merged else own

    def _merged(self, node: _Node, depth: int) -> dict[str, Any]:
        if not isinstance(node, _Mapping):
            raise Malformed(node.line, "`<<` takes a mapping, or a list of mappings")
        value: dict[str, Any] = self.build(node, depth + 1)
        return value


def _scalar(node: _Scalar) -> Any:
    kind, text = node.tag.removeprefix(_PREFIX), node.text
    match kind:
        case "str" | "merge" | "timestamp":
            return text
        case "null" | "bool" if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        case "int" if _INTEGER.match(text):
            return _integer(text)
        case "float" if _FLOAT.match(text) or _INTEGER.match(text):
            return _float(node, text)
        case _:
            raise Malformed(node.line, f"{text!r} cannot be read as {node.tag}", "leave the tag out")


def _integer(text: str) -> int:
    plain = text.replace("_", "")
    sign, digits = (-1, plain[1:]) if plain.startswith("-") else (1, plain.removeprefix("+"))
    if digits.startswith("0") and digits[1:2].isdigit():
        digits = f"0o{digits[1:]}"  # a file mode: 0644
    return sign * int(digits, 0)


def _float(node: _Node, text: str) -> float | str:
    if text.lstrip("+-").lower() in {".inf", ".nan"}:
        raise Malformed(node.line, f"{text} is no number that JSON has", "quote it")
    number = float(text)
    return number if math.isfinite(number) else text


def _name(key: _Node) -> str:
    if not isinstance(key, _Scalar):
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


def _expect_tag(node: _Node, kind: str) -> None:
    if node.tag != _PREFIX + kind:
        raise Malformed(node.line, f"{node.tag} is no tag that JSON has", "leave the tag out")


def _child(node: _Node, step: str | int) -> tuple[int, _Node] | None:
    if isinstance(node, _Sequence) and isinstance(step, int) and step < len(node.items):
        item = node.items[step]
        return item.line, item
    if isinstance(node, _Mapping):
        for key, value in node.pairs:
            if _name(key) == step:
                return key.line, value
    return None
