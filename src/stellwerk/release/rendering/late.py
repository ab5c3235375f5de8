"""Jinja's renderer, made at the first template: a server that renders nothing yet need not wait for it."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from stellwerk.release.rendering.renderer import Renderer, Source


class LateRenderer:
    """A `Renderer`; `filters` are the application's own."""

    def __init__(self, filters: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._filters = filters

    @cached_property
    def _renderer(self) -> Renderer:
        from stellwerk.release.rendering.jinja import JinjaRenderer

        return JinjaRenderer(self._filters)

    def render(self, source: Source, values: Mapping[str, Any]) -> str:
        """Render a template. Raises RenderFailure."""
        return self._renderer.render(source, values)

    def line_in_source(self, source: Source, values: Mapping[str, Any], line: int) -> int | None:
        """Return which line of the template made a line of the text; None if that cannot be told."""
        return self._renderer.line_in_source(source, values, line)
