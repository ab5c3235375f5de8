"""What a language of templates has to do. Others than Jinja fit beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Source:
    """A template, and the files that it may take in."""

    file: str
    text: str
    files: Mapping[str, bytes]


class RenderFailure(Exception):
    """A template cannot be rendered with these values."""

    def __init__(self, file: str, line: int | None, message: str, advice: str = "") -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file = file
        self.line = line
        self.message = message
        self.advice = advice


class Renderer(Protocol):
    """Turns templates into text; holds no state that shows, so one serves all threads."""

    def render(self, source: Source, values: Mapping[str, Any]) -> str:
        """Render a template. Raises RenderFailure."""
        ...

    def line_in_source(self, source: Source, values: Mapping[str, Any], line: int) -> int | None:
        """Return which line of the template made a line of the text; None if that cannot be told."""
        ...
