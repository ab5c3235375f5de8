"""One conversation with a model, to its answer or to its end.

Theory of operation. Every turn is one request. A turn that calls tools gets their results; one that gives
the answer ends the conversation; anything else is told what was wrong, three times at most. The answer is
the call of the submitting tool, or text that holds it: small models write calls and answers as prose.
Whoever calls tools that are not there, or the same one again and again, is told to answer; so is whoever is
about to run out of turns, tokens or time: the last turn offers no tools. A provider that fails for the
moment is asked again after a pause. A conversation never raises; where it comes to nothing its notes say
why.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Literal, TypeVar

from stellwerk.inquiry.reasoning.answers import Unreadable
from stellwerk.inquiry.reasoning.conversation import (
    Conversation,
    Model,
    ModelFailure,
    Reply,
    Told,
    ToolCall,
    ToolSpec,
)
from stellwerk.inquiry.reasoning.figures import ModelFigures
from stellwerk.inquiry.reasoning.looking import BadCall
from stellwerk.inquiry.reasoning.parsing import objects, text_of
from stellwerk.inquiry.reasoning.prompts import CORRECT, FINISH
from stellwerk.inquiry.reasoning.purse import CHARACTERS, Purse

T = TypeVar("T")
CORRECTIONS = 3
MOST_CALLS = 4
"""Tools in one turn; the others of that turn are told to wait for the next."""
PATIENCE = 3
"""Calls that make no sense before the model is told to answer."""
PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0

UseTool = Callable[[str, Any], Awaitable[str]]
Tell = Callable[[str, dict[str, Any]], None]
"""Is told what happens, as the payload of an audit event: `request`, `response`, `tool_call`."""


class Dialogue(Generic[T]):
    """See the module. Used once."""

    def __init__(
        self,
        model: Model,
        purse: Purse,
        figures: ModelFigures,
        tell: Tell,
        *,
        phase: str,
        retries: int,
        tools: Sequence[ToolSpec],
        submit: ToolSpec,
        use: UseTool,
        read: Callable[[Any], T],
        form: str,
    ) -> None:
        """`read` reads an answer and raises Unreadable; `form` shows how one looks.

        `phase` names the dialogue in the metrics.
        """
        self._model = model
        self._purse = purse
        self._figures = figures
        self._tell = tell
        self._phase = phase
        self._retries = retries
        self._tools = tools
        self._submit = submit
        self._use = use
        self._read = read
        self._form = form
        self._asked: set[str] = set()
        self._senseless = 0
        self._corrections = 0
        self._speaks_tools = True
        self.notes: list[str] = []

    async def hold(self, instructions: str, question: str) -> T | None:
        """Return the answer, or None where there was none."""
        talk = Conversation(instructions, [Told(question)])
        finishing = False
        while True:
            if (end := self._purse.exhausted(talk.length)) is not None:
                self.notes.append(end)
                return None
            if not finishing and (self._senseless >= PATIENCE or self._purse.last_turn(talk.length)):
                finishing = True
                talk.turns.append(Told(FINISH.format(form=self._form)))
                _joined(talk)
            reply = await self._ask(talk, self._offered(finishing))
            if reply is None:
                return None
            talk.turns.append(reply)
            try:
                answer = self._answer(reply)
            except Unreadable as fault:
                if (told := self._correction(reply, str(fault))) is None:
                    self.notes.append(f"the answer could not be used: {fault}")
                    return None
                talk.turns.append(told)
                continue
            if answer is not None:
                return answer
            if finishing:
                self.notes.append("the model asked for more instead of answering")
                return None
            talk.turns.append(await self._results(reply))

    def _offered(self, finishing: bool) -> list[ToolSpec]:
        if not self._speaks_tools:
            return []
        return [self._submit] if finishing else [*self._tools, self._submit]

    def _answer(self, reply: Reply) -> T | None:
        """Return the answer if the reply is one, None if it calls tools. Raises Unreadable."""
        for call in reply.calls:
            if call.name == self._submit.name:
                return self._read(call.arguments)
        if reply.calls:
            return None
        first: Unreadable | None = None
        for found in objects(reply.text):
            if self._written_call(found) is not None:
                return None
            inner = found.get("arguments") or found.get("parameters")
            try:
                return self._read(inner if inner and found.get("name") == self._submit.name else found)
            except Unreadable as fault:
                first = first or fault
        raise first or Unreadable("the answer holds no JSON object")

    def _written_call(self, found: dict[str, Any]) -> ToolCall | None:
        """Return the call that a text describes: models without tools write them so."""
        name = text_of(found.get("name") or found.get("tool") or found.get("function"), 100)
        if name not in {one.name for one in self._tools}:
            return None
        return ToolCall("written", name, found.get("arguments") or found.get("parameters") or {})

    def _correction(self, reply: Reply, fault: str) -> Told | None:
        self._corrections += 1
        if self._corrections > CORRECTIONS:
            return None
        return Told(CORRECT.format(fault=fault), tuple((call, f"not used: {fault}") for call in reply.calls))

    async def _results(self, reply: Reply) -> Told:
        if not reply.calls:
            call = next(one for found in objects(reply.text) if (one := self._written_call(found)))
            return Told(f"{call.name} gave:\n{await self._result(call, 0)}")
        results = [
            (call, await self._result(call, number) if number < MOST_CALLS else "too many at once; ask again")
            for number, call in enumerate(reply.calls)
        ]
        return Told(results=tuple(results))

    async def _result(self, call: ToolCall, number: int) -> str:
        wanted = f"{call.name} {json.dumps(call.arguments, sort_keys=True, default=str)}"
        if wanted in self._asked:
            self._senseless += 1
            result = "you asked exactly this before: see above"
        else:
            self._asked.add(wanted)
            try:
                result = await self._use(call.name, call.arguments)
            except BadCall as fault:
                self._senseless += 1
                result = f"error: {fault}"
        self._purse.note(tool_calls=1)
        arguments = call.arguments if isinstance(call.arguments, dict) else {"text": str(call.arguments)}
        self._tell(
            "tool_call",
            {
                "tool_call_index": number,
                "tool_name": call.name,
                "tool_arguments": arguments,
                "tool_result": result,
            },
        )
        return result

    async def _ask(self, talk: Conversation, tools: Sequence[ToolSpec]) -> Reply | None:
        """Return a reply; None, with a note, if there is none to be had."""
        for attempt in range(self._retries + 1):
            try:
                reply = await self._request(talk, tools)
            except ModelFailure as failure:
                self._count_again(attempt, "error")
                if failure.failing == "rejected" and tools and "tool" in str(failure).lower():
                    # This model has no tools: the question tells how to answer without.
                    self._speaks_tools, tools = False, ()
                    self.notes.append("the model takes no tools")
                    continue
                last = attempt == self._retries or not failure.temporary
                if last or self._purse.exhausted(talk.length) is not None:
                    self.notes.append(f"the model did not answer: {failure}")
                    return None
                pause_s = min(failure.retry_after_s or PAUSE_S * 2**attempt, LONGEST_PAUSE_S)
                await asyncio.sleep(min(pause_s, self._purse.seconds_left))
            else:
                self._count_again(attempt, "success")
                return reply
        self.notes.append("the model did not answer")
        return None

    def _count_again(self, attempt: int, outcome: Literal["success", "error"]) -> None:
        if attempt > 0:
            self._figures.retries[self._phase, outcome] += 1

    async def _request(self, talk: Conversation, tools: Sequence[ToolSpec]) -> Reply:
        length, began_at = talk.length, time.monotonic()
        last = talk.turns[-1]
        self._tell(
            "request",
            {
                "model": self._model.name,
                "prompt_length": length,
                "prompt_preview": last.text or "; ".join(text for _, text in getattr(last, "results", ())),
                "toolsets_enabled": [one.name for one in tools],
            },
        )
        try:
            reply = await self._model.ask(
                talk,
                tools,
                answer_tokens=self._purse.answer_tokens(length),
                timeout_s=self._purse.timeout_s(),
            )
        except ModelFailure as failure:
            self._figures.failed(time.monotonic() - began_at)
            self._purse.note(failures=1)
            self._tell("response", {"has_analysis": False, "analysis_length": 0, "error": str(failure)})
            raise
        prompt = reply.prompt_tokens or length // CHARACTERS
        completion = reply.completion_tokens or _length(reply) // CHARACTERS
        self._figures.answered(time.monotonic() - began_at, prompt, completion)
        self._purse.note(requests=1, prompt_tokens=prompt, completion_tokens=completion)
        self._tell(
            "response",
            {
                "has_analysis": bool(reply.text),
                "analysis_length": len(reply.text),
                "analysis_preview": reply.text,
                "tokens_used": prompt + completion,
                "tool_call_count": len(reply.calls),
            },
        )
        return reply


def _length(reply: Reply) -> int:
    return len(reply.text) + sum(len(str(call.arguments)) for call in reply.calls)


def _joined(talk: Conversation) -> None:
    """Make one of the two last things that we said: turns alternate, for the models that insist on it."""
    *_, before, last = talk.turns
    if isinstance(before, Told) and isinstance(last, Told):
        talk.turns[-2:] = [Told("\n\n".join(filter(None, (before.text, last.text))), before.results)]
