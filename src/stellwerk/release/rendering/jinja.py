"""Templates in Jinja2, in its sandbox.

A template is a file of the application and reads nothing but the values and files that it is given: no
attribute of Python's own, no file system, nothing random, no clock. So equal input gives equal text, and an
`up` of what did not change changes nothing. The size of what it makes is bounded; the time that it takes is
not, for whoever can write templates can deploy anything anyway.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, TracebackType
from typing import Any

from jinja2 import (
    FunctionLoader,
    TemplateAssertionError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
    nodes,
)
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stellwerk.release.rendering.filters import FILTERS, FilterError, text_of
from stellwerk.release.rendering.renderer import RenderFailure, Source
from stellwerk.release.rendering.values import KEPT_OUT, Missing, NoFile, Unset, Values
from stellwerk.release.spelling import did_you_mean, nearest

LONGEST = 8 * 1024 * 1024
"""Characters that one template may make."""
_MOST_COMPILED = 4_096
_MARK, _END = "\ue000", "\ue001"
_NOT_OURS = ("random", "pprint", "urlize", "xmlattr")
_GO = re.compile(r"{{-?\s*(?:\.|if\b|else\b|end\b|range\b|with\b|template\b|include\b)")
_METHODS = ("items", "keys", "values", "get")


class JinjaRenderer:
    """Renders Jinja2; `filters` and `functions` are the application's own, beside ours."""

    def __init__(
        self,
        filters: Mapping[str, Callable[..., Any]] | None = None,
        functions: Mapping[str, Any] | None = None,
    ) -> None:
        self._environment = _environment(filters or {}, functions or {})

    def render(self, source: Source, values: Mapping[str, Any]) -> str:
        """Render a template. Raises RenderFailure."""
        if not any(begin in source.text for begin in ("{{", "{%", "{#")):
            return source.text
        return self._render(source, values, source.text)

    def line_in_source(self, source: Source, values: Mapping[str, Any], line: int) -> int | None:
        """Return which line of the template made a line of the text; None if that cannot be told.

        Renders once more, with a mark of its own line at the end of each of the template's lines.
        """
        try:
            marked = self._render(source, values, self._environment.marked(source)).split("\n")
        except RenderFailure:
            return None
        for text in marked[line - 1 :]:
            _, found, rest = text.rpartition(_MARK)
            if found:
                return int(rest.partition(_END)[0])
        return source.text.count("\n") + 1

    def _render(self, source: Source, values: Mapping[str, Any], text: str | nodes.Template) -> str:
        environment = self._environment.overlay(loader=FunctionLoader(_Loading(source.files)))
        try:
            code = environment.compile(text, source.file, source.file)
            template = environment.template_class.from_code(environment, code, environment.globals)
            return "".join(_bounded(template.generate(values)))
        except Exception as error:  # a template is a program of its own: it can fail in any way
            raise self._failure(source, error) from None

    def _failure(self, source: Source, error: Exception) -> RenderFailure:
        file, line = _where(source, error)
        match error:
            case TemplateAssertionError():
                return RenderFailure(file, line, error.message or "", self._unknown(error.message or ""))
            case TemplateSyntaxError():
                return RenderFailure(file, line, f"is no template: {error.message}", _syntax(source, line))
            case Unset() | NoFile():
                return RenderFailure(file, line, str(error), error.advice)
            case TemplateNotFound():
                names = [name for name in source.files if name != source.file]
                message = f"there is no file {error.name} to take in"
                return RenderFailure(file, line, message, did_you_mean(str(error.name), names))
            case SecurityError():
                return RenderFailure(file, line, str(error), KEPT_OUT)
            case FilterError() | UndefinedError():
                return RenderFailure(file, line, str(error))
            case _:
                return RenderFailure(file, line, f"{type(error).__name__}: {error}"[:500])

    def _unknown(self, message: str) -> str:
        """Advise on `No filter named 'x'`."""
        parts = message.split("'")
        found = nearest(parts[1], self._environment.filters) if len(parts) > 1 else None
        return f"did you mean {found}?" if found else "see the list of filters in the documentation"


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})
    codes: dict[tuple[str, str | None], CodeType]
    """Compiled templates, by text and name; overlays share them."""

    def compile(self, source: Any, name: Any = None, filename: Any = None, *rest: Any, **more: Any) -> Any:
        if not isinstance(source, str) or rest or more:
            return super().compile(source, name, filename, *rest, **more)
        if (source, name) not in self.codes:
            if len(self.codes) >= _MOST_COMPILED:
                self.codes.clear()
            self.codes[source, name] = super().compile(source, name, filename)
        return self.codes[source, name]

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up `a.b`: of mappings the names come first, so that a parameter may be called `items`."""
        if isinstance(obj, Missing):
            return obj.below(attribute)
        if isinstance(obj, Mapping) and (attribute in obj or attribute not in _METHODS):
            return self.getitem(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Missing):
            return obj.below(argument)
        if isinstance(obj, Mapping):
            if isinstance(argument, str | int) and argument in obj:
                return obj[argument]
            path = obj.path if isinstance(obj, Values) else ""
            return Missing.of(path, argument, list(obj))
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (not isinstance(right, int | float) or abs(right) > 64):
            raise FilterError(f"{left} ** {right} is beyond what templates may compute")
        for text, times in ((left, right), (right, left)):
            if (
                isinstance(text, str | list | tuple)
                and isinstance(times, int)
                and len(text) * times > LONGEST
            ):
                raise FilterError(f"repeating {times} times makes more than templates may make")
        return super().call_binop(context, operator, left, right)

    def join_path(self, template: str, parent: str) -> str:
        """Let `./part.yaml` mean the folder of the template that takes it in."""
        if template.startswith(("./", "../")):
            return posixpath.normpath(posixpath.join(posixpath.dirname(parent), template))
        return template

    def marked(self, source: Source) -> nodes.Template:
        """Parse, and put a mark with its line at the end of every line that the template itself has."""
        tree = self.parse(source.text, source.file, source.file)
        for data in tree.find_all(nodes.TemplateData):
            first, *others = data.data.split("\n")
            marks = [f"{_MARK}{data.lineno + place}{_END}\n" for place in range(len(others))]
            data.data = first + "".join(mark + rest for mark, rest in zip(marks, others, strict=True))
        return tree


def _environment(filters: Mapping[str, Callable[..., Any]], functions: Mapping[str, Any]) -> _Environment:
    environment = _Environment(
        undefined=Missing,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
    )
    environment.codes = {}
    for name in _NOT_OURS:
        environment.filters.pop(name, None)
    environment.globals.pop("lipsum", None)
    environment.filters |= {**FILTERS, **filters}
    environment.globals |= functions
    return environment


def _finalize(value: Any) -> Any:
    """Write what a template puts into the text: `true` and JSON, not Python's `True` and `{'a': 1}`."""
    return value if isinstance(value, str | Missing) else text_of(value)


class _Loading:
    """Gives templates the files that they take in."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def __call__(self, name: str) -> tuple[str, str, None] | None:
        content = self._files.get(name)
        return None if content is None else (content.decode(errors="replace"), name, None)


def _bounded(pieces: Iterator[str]) -> Iterator[str]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > LONGEST:
            raise FilterError(f"makes more than {LONGEST >> 20} MiB of text")
        yield piece


def _where(source: Source, error: Exception) -> tuple[str, int | None]:
    """Return the innermost place in a template."""
    if isinstance(error, TemplateSyntaxError):
        return error.name or source.file, error.lineno
    file, line = source.file, None
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name == source.file or name in source.files:
            file, line = name, trace.tb_lineno
        trace = trace.tb_next
    return file, line


def _syntax(source: Source, line: int | None) -> str:
    lines = source.text.split("\n")
    if line is not None and line <= len(lines) and _GO.search(lines[line - 1]):
        return "this looks like a Go template; here it is {{ global.namespace }} and {% if … %}"
    return "look for a {{ or {% that is not closed on this line or above"
