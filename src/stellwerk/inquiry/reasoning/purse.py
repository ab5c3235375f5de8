"""What a model may still cost in one session: turns, tokens, reads of the cluster, seconds."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from stellwerk.inquiry.reasoning.opinion import Usage
from stellwerk.settings.llm import LlmSettings

LEAST_ANSWER = 64
"""Tokens below which no answer is worth asking for."""
CHARACTERS = 4
"""Of one token, about, for models that do not count."""


class Purse:
    """Counts what is spent, also what an earlier run of the same session has spent."""

    def __init__(self, settings: LlmSettings, usage: Usage, spent: Callable[[Usage], None]) -> None:
        """`spent` is told after every change."""
        self._settings = settings
        self._spent = spent
        self._began_at = time.monotonic()
        self._before_s = usage.seconds
        self.usage = usage

    @property
    def turns_left(self) -> int:
        """Requests that may still be made."""
        return max(0, self._settings.turns - self.usage.requests - self.usage.failures)

    @property
    def tokens_left(self) -> int:
        """Tokens that may still be used."""
        return max(0, self._settings.tokens - self.usage.tokens)

    @property
    def seconds_left(self) -> float:
        """Time that is left."""
        return max(0.0, self._settings.seconds - self._before_s - (time.monotonic() - self._began_at))

    @property
    def reads_left(self) -> int:
        """Reads of the cluster that are left."""
        return max(0, self._settings.calls - self.usage.reads)

    def exhausted(self, prompt_length: int) -> str | None:
        """Say what is used up, before a prompt of so many characters; None if it may be sent."""
        if self.turns_left == 0:
            return f"the budget of {self._settings.turns} turns is spent"
        if self.tokens_left < prompt_length // CHARACTERS + LEAST_ANSWER:
            return f"the budget of {self._settings.tokens} tokens is spent"
        if self.seconds_left <= 0:
            return f"the budget of {self._settings.seconds:g} s is spent"
        return None

    def last_turn(self, prompt_length: int) -> bool:
        """Whether the next answer must be the last: after it nothing could be asked."""
        left = self.tokens_left - prompt_length // CHARACTERS
        return self.turns_left <= 1 or left < 2 * (prompt_length // CHARACTERS) or self.seconds_left < 10.0

    def answer_tokens(self, prompt_length: int) -> int:
        """Return how long the next answer may be."""
        left = self.tokens_left - prompt_length // CHARACTERS
        return max(LEAST_ANSWER, min(self._settings.answer_tokens, left))

    def timeout_s(self) -> float:
        """Return how long the next answer may take."""
        return max(0.1, min(self._settings.timeout_s, self.seconds_left))

    def note(self, **more: int) -> None:
        """Add to what is spent."""
        now = {name: getattr(self.usage, name) + number for name, number in more.items()}
        seconds = round(self._before_s + time.monotonic() - self._began_at, 3)
        self.usage = replace(self.usage, **now, seconds=seconds)
        self._spent(self.usage)
