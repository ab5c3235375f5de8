"""The program's own log: structured lines on standard error."""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from stellwerk.levels import NUMBERS, ROOT, Levels
from stellwerk.settings import LogSettings

LEVELS = Levels()
"""Of this process: there is one log."""


class _Named(structlog.WriteLogger):
    """A writer that knows whose lines it writes."""

    def __init__(self, name: str) -> None:
        super().__init__(cast(TextIO, LossyStream(sys.stderr)))
        self.name = name


def _name(*given: Any) -> _Named:
    return _Named(str(given[0]) if given else ROOT)


def _drop_unwanted(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Stop a line that nobody wants, before anything is spent on it."""
    number = NUMBERS.get("error" if method in ("exception", "critical") else method, logging.INFO)
    if not LEVELS.wants(getattr(logger, "name", ROOT), number):
        raise structlog.DropEvent
    return event


class LossyStream:
    """Loses lines rather than failing: a log on a full disk must not end what it tells of.

    Whoever logs is often in the middle of handling just such a failure, as the database's writer is; raising
    there once ended it for good. A stream that has room again takes lines again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure_logs(settings: LogSettings) -> None:
    """Set level and form of the log of this process."""
    LEVELS.configured = settings.level
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    # Tracebacks as Python writes them: others are wider than terminals, and cost more than what they show.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = structlog.processors.JSONRenderer() if as_json else console
    structlog.configure(
        processors=[
            _drop_unwanted,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=_name,
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module; only what they find wrong is of interest.
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
