"""Which lines of the log are wanted, by the names of loggers; may be changed while the process runs.

A logger has the name of its module. What is said of `stellwerk.work` holds for all below it, until something
is said of one of those. The end of a change is looked for when a line is written: nothing has to be woken.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

ROOT = "stellwerk"
"""Names everything of ours."""
NUMBERS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


@dataclass(frozen=True, slots=True)
class Change:
    """What was said of one logger while the process ran."""

    logger: str
    level: str
    ends_at_s: float | None
    """By the clock that never goes back; None for the end of the process."""


class Levels:
    """The levels of one process."""

    def __init__(self, level: str = "info", now_s: Callable[[], float] = time.monotonic) -> None:
        self.configured = level
        self._now_s = now_s
        self._changes: dict[str, Change] = {}

    def set(self, logger: str, level: str, for_s: float | None = None) -> Change:
        """Change a logger's level; after `for_s` it is what it was configured as again."""
        ends_at_s = None if for_s is None else self._now_s() + for_s
        # A new mapping: threads that write a line meanwhile go on with the former.
        change = Change(logger, level, ends_at_s)
        self._changes = {**self._changes, logger: change}
        return change

    def reset(self, logger: str) -> None:
        """Take back what was said of a logger; nothing said is no error."""
        self._changes = {name: one for name, one in self._changes.items() if name != logger}

    def changes(self) -> list[tuple[Change, float | None]]:
        """List what holds now, each with the seconds that are left, by name."""
        now_s, found = self._now_s(), sorted(self._changes.items())
        held = [one for _, one in found if one.ends_at_s is None or one.ends_at_s > now_s]
        return [(one, None if one.ends_at_s is None else one.ends_at_s - now_s) for one in held]

    def wants(self, logger: str, number: int) -> bool:
        """Whether a line of this level is written."""
        return number >= NUMBERS[self._level(logger) if self._changes else self.configured]

    def _level(self, logger: str) -> str:
        name = logger
        while name:
            change = self._changes.get(name)
            if change is not None and (change.ends_at_s is None or change.ends_at_s > self._now_s()):
                return change.level
            name = name.rpartition(".")[0]
        return self.configured
