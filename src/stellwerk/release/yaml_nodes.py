"""The parts of a YAML text before they become values, each with its line."""

import re
from dataclasses import dataclass, field

DEEPEST = 64
"""Levels of one document; the API server takes no more than that by far."""
PREFIX = "tag:yaml.org,2002:"
INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)\Z")
FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z"
)


class Malformed(Exception):
    """A text is not what Kubernetes could read; `line` counts from 1."""

    def __init__(self, line: int, message: str, advice: str = "") -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message
        self.advice = advice


@dataclass(slots=True)
class Node:
    """A part of a text before it becomes a value; an alias is the node that it stands for."""

    tag: str
    line: int


@dataclass(slots=True)
class Scalar(Node):
    text: str


@dataclass(slots=True)
class Listing(Node):
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping(Node):
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
