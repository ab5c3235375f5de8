"""What is said between us and a model, whoever provides it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Failing = Literal["key_refused", "limited", "unavailable", "timed_out", "rejected", "garbled"]
TEMPORARY: frozenset[Failing] = frozenset({"limited", "unavailable", "timed_out"})


class ModelFailure(Exception):
    """The model gave no answer. The message holds no key and no header."""

    def __init__(self, failing: Failing, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.failing = failing
        self.retry_after_s = retry_after_s

    @property
    def temporary(self) -> bool:
        """Whether the same request may be answered later."""
        return self.failing in TEMPORARY


class ExtraMissing(Exception):
    """A package of the extra `llm` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"llm.provider needs {package}: pip install 'stellwerk[llm]'")


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool, as it is shown to the model."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of an object."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants to be used."""

    id: str
    name: str
    arguments: Any
    """As it came: an object if the model keeps to the form, else text."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the model."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    original: Any = None
    """The provider's own form: what it signed has to go back as it came."""


@dataclass(frozen=True, slots=True)
class Told:
    """What we say: a text, or what tools gave."""

    text: str = ""
    results: tuple[tuple[ToolCall, str], ...] = ()


@dataclass(slots=True)
class Conversation:
    """All that was said until now."""

    instructions: str
    turns: list[Told | Reply] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Characters, for models that do not count their tokens."""
        texts = [self.instructions]
        for turn in self.turns:
            texts.append(turn.text)
            if isinstance(turn, Told):
                texts += [result for _, result in turn.results]
        return sum(map(len, texts))


class Model(Protocol):
    """Whoever answers."""

    @property
    def provider(self) -> str:
        """Name of the provider, as in the settings."""
        ...

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    async def ask(
        self, conversation: Conversation, tools: Sequence[ToolSpec], *, answer_tokens: int, timeout_s: float
    ) -> Reply:
        """Return the answer to a conversation. Raises ModelFailure."""
        ...

    async def close(self) -> None:
        """Let go of connections; again is no error."""
        ...
