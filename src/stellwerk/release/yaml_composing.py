"""From YAML to nodes. The library is loaded with this module, at the first text that is read."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Parser  # ten times as fast
except ImportError:
    from yaml import SafeLoader as _Parser  # type: ignore[assignment]

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

_IMPLICIT = [
    (frozenset(first), re.compile(pattern), PREFIX + kind)
    for first, pattern, kind in (
        (
            [*"yYnNtTfFoO"],
            r"(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)\Z",
            "bool",
        ),
        ([*"-+0123456789"], INTEGER.pattern, "int"),
        ([*"-+.0123456789"], FLOAT.pattern, "float"),
        ([*"~nN", ""], r"(?:~|null|Null|NULL|)\Z", "null"),
        ([*"<"], r"<<\Z", "merge"),
    )
]


def compose(text: str) -> Iterator[Node]:
    """List the roots of a text's documents. Raises Malformed."""
    loader = _Parser(text)
    try:
        while not loader.check_event(yaml.StreamEndEvent):
            if loader.check_event(yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent):
                loader.get_event()
                continue
            yield _Composer(loader).compose(0)
    except yaml.YAMLError as error:
        raise _malformed(error) from None
    finally:
        loader.dispose()


class _Composer:
    """Makes nodes of one document's events. The library's own composer has no bound: it ends the process."""

    def __init__(self, loader: _Parser) -> None:
        self._loader = loader
        self._anchors: dict[str, Node] = {}

    def compose(self, depth: int) -> Node:
        event: Any = self._loader.get_event()
        line = event.start_mark.line + 1
        if depth > DEEPEST:
            raise Malformed(line, f"is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(str(event.anchor), line)
        node = self._begun(event, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if isinstance(node, Listing):
            while not self._ended(yaml.SequenceEndEvent):
                node.items.append(self.compose(depth + 1))
        elif isinstance(node, Mapping):
            while not self._ended(yaml.MappingEndEvent):
                key = self.compose(depth + 1)
                node.pairs.append((key, self.compose(depth + 1)))
        return node

    def _begun(self, event: Any, line: int) -> Node:
        own = event.tag if event.tag and event.tag != "!" else None
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(own or _plain_tag(event.value, event.implicit[0]), line, event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return Listing(own or PREFIX + "seq", line)
        return Mapping(own or PREFIX + "map", line)

    def _ended(self, end: type[yaml.Event]) -> bool:
        if not self._loader.check_event(end):
            return False
        self._loader.get_event()
        return True

    def _aliased(self, anchor: str, line: int) -> Node:
        if anchor not in self._anchors:
            raise Malformed(line, f"undefined alias *{anchor}", f"set &{anchor} above")
        return self._anchors[anchor]


def _plain_tag(text: str, plain: bool) -> str:
    """Return what a scalar without a tag is: text, unless it is plain and looks like something else."""
    if plain:
        for first, pattern, tag in _IMPLICIT:
            if text[:1] in first and pattern.match(text):
                return tag
    return PREFIX + "str"


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
