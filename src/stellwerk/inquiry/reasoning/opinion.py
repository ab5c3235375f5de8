"""What a model said of an investigation, as it is stored and shown. It is a claim, and never a proof."""

from enum import StrEnum

import msgspec

from stellwerk.inquiry.model import Evidence, ObjectRef


class Verdict(StrEnum):
    """How the model's opinion stands to what objects, events and logs prove."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    """Both say something, and not the same; what is proven stays."""
    FURTHER = "further"
    """Nothing was proven, and the model names a root that evidence supports."""
    UNSUPPORTED = "unsupported"
    """The model names something that no evidence supports."""
    NONE = "none"
    """The model gave no opinion that could be read; the notes say why."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the model claims."""

    text: str
    evidence: tuple[str, ...] = ()
    """Ids that it cites and that are known."""
    supported: bool = False
    """Whether what it cites is there and speaks of what it claims."""


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True):
    """Something else that the model holds possible."""

    summary: str
    likelihood: float = 0.0
    evidence: tuple[str, ...] = ()
    supported: bool = False


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says of the cause."""

    provider: str
    model: str
    verdict: Verdict = Verdict.NONE
    summary: str = ""
    root_objects: tuple[ObjectRef, ...] = ()
    cause: str = ""
    """The code of a finding that the model holds to be the cause; empty where it names none that is known."""
    confidence: float = 0.0
    healthy: bool = False
    """Whether the model holds the target for well."""
    claims: tuple[Claim, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    """What its tools read beside the evidence of the conclusion."""
    notes: tuple[str, ...] = ()
    """What went wrong: budgets, faults of the provider, answers that could not be read."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says of the remedy, out of those that fit."""

    workflow_id: str | None = None
    """None if it advises against all of them, or said nothing."""
    rationale: str = ""
    against: bool = False
    """Whether it advises against all that fit."""
    notes: tuple[str, ...] = ()


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the model has cost in one session."""

    requests: int = 0
    failures: int = 0
    tool_calls: int = 0
    reads: int = 0
    """Requests to the cluster, made for its tools."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens


def cost_of(usage: Usage, price_prompt: float, price_completion: float) -> float | None:
    """Return the price, in the currency of the settings; None where no price is set."""
    if not (price_prompt or price_completion):
        return None
    whole = usage.prompt_tokens * price_prompt + usage.completion_tokens * price_completion
    return round(whole / 1_000_000, 6)
