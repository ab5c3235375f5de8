"""The two phases of a model in an investigation: the cause, and the remedy."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from msgspec.structs import replace

from stellwerk.inquiry.evidence.fencing import fence
from stellwerk.inquiry.evidence.masking import mask_text
from stellwerk.inquiry.evidence.meter import Meter
from stellwerk.inquiry.model import Budget, Bundle, Conclusion, Outcome
from stellwerk.inquiry.reasoning import prompts
from stellwerk.inquiry.reasoning.answers import (
    SUBMIT_CAUSE,
    CauseAnswer,
    RemedyAnswer,
    cause_answer,
    remedy_answer,
    submit_remedy,
)
from stellwerk.inquiry.reasoning.conversation import Model
from stellwerk.inquiry.reasoning.dialogue import Dialogue, Tell
from stellwerk.inquiry.reasoning.digest import digest
from stellwerk.inquiry.reasoning.figures import ModelFigures
from stellwerk.inquiry.reasoning.grounding import known_objects, opinion_of
from stellwerk.inquiry.reasoning.looking import TOOLS, BadCall, Looking
from stellwerk.inquiry.reasoning.opinion import Advice, Opinion, Usage, cost_of
from stellwerk.inquiry.reasoning.purse import Purse
from stellwerk.inquiry.remedies.workflow import Workflow
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError
from stellwerk.settings.llm import LlmSettings

FAULT = "the model's part ended by a fault of ours; see the server's log"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hearing:
    """One session, as the model's phases see it."""

    usage: Usage
    """What it has cost until now."""
    tell: Tell
    spent: Callable[[Usage], None]


class Reasoner:
    """Asks the model. Nothing that it or its provider does ends an investigation: see `notes`."""

    def __init__(self, model: Model, settings: LlmSettings, cluster: Cluster) -> None:
        self._model = model
        self._settings = settings
        self._cluster = cluster
        self.figures = ModelFigures()

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self._model.provider

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._model.name

    def wanted(self, conclusion: Conclusion) -> bool:
        """Whether the model is to be asked about a conclusion."""
        return self._settings.when == "always" or conclusion.outcome is Outcome.INCONCLUSIVE

    def cost(self, usage: Usage) -> float | None:
        """Return what a session has cost; None where no price is set."""
        return cost_of(usage, self._settings.price_prompt, self._settings.price_completion)

    async def cause(self, hearing: Hearing, bundle: Bundle, conclusion: Conclusion) -> Opinion:
        """Ask for the cause."""
        blank = Opinion(provider=self.provider, model=self.model)
        try:
            return await self._cause(hearing, bundle, conclusion, blank)
        except Exception:
            # The outermost place of the model's part: what is known without it is answered all the same.
            log.exception("the model's part of an investigation ended by a fault")
            return replace(blank, notes=(FAULT,))

    async def remedy(self, hearing: Hearing, conclusion: Conclusion, workflows: Sequence[Workflow]) -> Advice:
        """Ask which of these workflows, all of which fit, is the remedy."""
        try:
            return await self._remedy(hearing, conclusion, workflows)
        except Exception:
            log.exception("the model's part of choosing a remedy ended by a fault")
            return Advice(notes=(FAULT,))

    async def close(self) -> None:
        """Let go of connections; again is no error."""
        await self._model.close()

    async def _cause(
        self, hearing: Hearing, bundle: Bundle, conclusion: Conclusion, blank: Opinion
    ) -> Opinion:
        boundary, purse = _boundary(), self._purse(hearing)
        meter = Meter(
            self._cluster, Budget(calls=purse.reads_left, seconds=purse.seconds_left, log_lines=200)
        )
        looking = Looking(bundle, meter, first_id=len(conclusion.evidence) + 1, boundary=boundary)

        async def use(name: str, arguments: Any) -> str:
            before = meter.calls
            try:
                return await looking.use(name, arguments)
            except ClusterError as error:
                raise BadCall(str(error)) from error
            finally:
                purse.note(reads=meter.calls - before)

        target = bundle.target.object
        namespace = target.name if target.kind == "Namespace" else target.namespace
        dialogue: Dialogue[CauseAnswer] = Dialogue(
            self._model,
            purse,
            self.figures,
            hearing.tell,
            phase="rca",
            retries=self._settings.retries,
            tools=TOOLS,
            submit=SUBMIT_CAUSE,
            use=use,
            read=lambda value: cause_answer(value, namespace),
            form=prompts.FORM_CAUSE,
        )
        answer = await dialogue.hold(
            prompts.instructions(prompts.CAUSE, boundary),
            prompts.ASK_CAUSE.format(digest=digest(bundle, conclusion, boundary)),
        )
        blank = replace(blank, evidence=tuple(looking.evidence), notes=tuple(dialogue.notes))
        if answer is None:
            return blank
        texts = {one.id: f"{one.object} {one.excerpt}" for one in conclusion.evidence} | looking.texts
        known = known_objects(bundle, conclusion) | looking.seen
        return opinion_of(_masked(answer), conclusion, known=known, texts=texts, blank=blank)

    async def _remedy(
        self, hearing: Hearing, conclusion: Conclusion, workflows: Sequence[Workflow]
    ) -> Advice:
        boundary, ids = _boundary(), [one.id for one in workflows]
        cause = (
            f"cause: {conclusion.cause}: {conclusion.summary}\nto be changed: {conclusion.remediation_target}"
        )
        dialogue: Dialogue[RemedyAnswer] = Dialogue(
            self._model,
            self._purse(hearing),
            self.figures,
            hearing.tell,
            phase="workflow_discovery",
            retries=self._settings.retries,
            tools=(),
            submit=submit_remedy(ids),
            use=_no_tool,
            read=lambda value: remedy_answer(value, ids),
            form=prompts.FORM_REMEDY,
        )
        answer = await dialogue.hold(
            prompts.instructions(prompts.REMEDY, boundary),
            prompts.ask_remedy(conclusion, workflows, fence(mask_text(cause), boundary)),
        )
        notes = tuple(dialogue.notes)
        if answer is None:
            return Advice(notes=notes)
        return Advice(
            workflow_id=answer.workflow_id,
            rationale=mask_text(answer.rationale),
            against=answer.workflow_id is None,
            notes=notes,
        )

    def _purse(self, hearing: Hearing) -> Purse:
        return Purse(self._settings, hearing.usage, hearing.spent)


def _boundary() -> str:
    return f"DATA-{secrets.token_hex(4)}"


def _masked(answer: CauseAnswer) -> CauseAnswer:
    """Mask what the model repeats: it saw masked texts only, but its own may look like anything."""
    return CauseAnswer(
        summary=mask_text(answer.summary),
        outcome=answer.outcome,
        root_objects=answer.root_objects,
        cause=answer.cause,
        confidence=answer.confidence,
        claims=tuple((mask_text(text), ids) for text, ids in answer.claims),
        hypotheses=tuple((mask_text(text), share, ids) for text, share, ids in answer.hypotheses),
    )


async def _no_tool(name: str, arguments: Any) -> str:
    raise BadCall(f"there is no tool {name!r} here; call submit_remedy")
