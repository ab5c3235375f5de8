"""A `Model` that speaks through pydantic-ai, which knows every provider's wire format.

Only its lowest layer is used, one request and one response. Turns, budgets, tools and corrections are ours
(`dialogue.py`): they have to be recorded, bounded and gone on with after a restart.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from stellwerk.inquiry.evidence.masking import MASK, mask_text
from stellwerk.inquiry.reasoning.conversation import (
    Conversation,
    Failing,
    ModelFailure,
    Reply,
    ToolCall,
    ToolSpec,
)
from stellwerk.inquiry.reasoning.providers import key_of, model_of
from stellwerk.settings.llm import LlmSettings

LONGEST_DETAIL = 300
_LIMITED = 429
_REFUSED = (401, 403)


class Connected:
    """See the module."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        self._secrets: tuple[str, ...] = tuple(settings.headers.values())
        self._model: Any = None
        self._making = asyncio.Lock()

    @property
    def provider(self) -> str:
        """Name of the provider."""
        return self._settings.provider or ""

    @property
    def name(self) -> str:
        """Name of the model."""
        return self._settings.model

    async def ask(
        self, conversation: Conversation, tools: Sequence[ToolSpec], *, answer_tokens: int, timeout_s: float
    ) -> Reply:
        """Return the answer to a conversation. Raises ModelFailure."""
        model = await self._made()
        from pydantic_ai.direct import model_request
        from pydantic_ai.settings import ModelSettings

        chosen = ModelSettings(max_tokens=answer_tokens)
        if self._settings.temperature is not None:
            chosen["temperature"] = self._settings.temperature
        try:
            async with asyncio.timeout(timeout_s):
                response = await model_request(
                    model,
                    _messages(conversation),
                    model_settings=chosen,
                    model_request_parameters=_parameters(tools),
                    instrument=False,
                )
            return _reply(response)
        except TimeoutError:
            raise ModelFailure("timed_out", f"no answer within {timeout_s:g} s") from None
        except Exception as error:
            # Whatever the nine libraries raise, with whatever text: nothing of it goes further unmasked, and
            # not as a cause either, whose text would hold it.
            raise self._failure(error, timeout_s) from None

    async def close(self) -> None:
        """Let go of connections; again is no error."""
        model, self._model = self._model, None
        client = getattr(getattr(model, "client", None), "close", None)
        if client is not None and asyncio.iscoroutinefunction(client):
            await client()

    async def _made(self) -> Any:
        async with self._making:
            if self._model is None:
                try:
                    self._model = await asyncio.to_thread(self._make)
                except Exception as error:
                    raise self._failure(error, self._settings.timeout_s) from None
            return self._model

    def _make(self) -> Any:
        key = key_of(self._settings)
        if key is not None:
            self._secrets += (key,)
        return model_of(self._settings, key)

    def _failure(self, error: Exception, timeout_s: float) -> ModelFailure:
        from pydantic_ai import exceptions

        match error:
            case exceptions.ModelHTTPError():
                status = error.status_code
                return ModelFailure(_failing(status), self._told(status, error.body), error.retry_after)
            case exceptions.ModelTimeoutError() | exceptions.ModelRequestTimeout():
                return ModelFailure("timed_out", f"no answer within {timeout_s:g} s")
            case exceptions.ModelConnectionError():
                return ModelFailure("unavailable", "the provider could not be reached")
            case exceptions.UnexpectedModelBehavior():
                return ModelFailure("garbled", "the provider's answer could not be read")
            case exceptions.UserError() | OSError():
                return ModelFailure("rejected", self._clean(str(error)))
            case _:
                return ModelFailure(
                    "garbled", f"the provider's answer could not be read ({type(error).__name__})"
                )

    def _told(self, status: int, body: object) -> str:
        if status in _REFUSED:  # what providers say here repeats parts of the key
            return f"the provider refused the key (HTTP {status})"
        text = self._clean(str(body)) if body else ""
        return f"HTTP {status}" + (f": {text}" if text else "")

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return mask_text(text)[:LONGEST_DETAIL]


def _failing(status: int) -> Failing:
    if status in _REFUSED:
        return "key_refused"
    if status == _LIMITED:
        return "limited"
    return "unavailable" if status >= 500 or status == 408 else "rejected"


def _parameters(tools: Sequence[ToolSpec]) -> Any:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

    return ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=one.name,
                description=one.description,
                parameters_json_schema=dict(one.parameters),
                strict=False,
            )
            for one in tools
        ],
        allow_text_output=True,
    )


def _messages(conversation: Conversation) -> list[Any]:
    from pydantic_ai.messages import ModelRequest, TextPart, ToolReturnPart, UserPromptPart
    from pydantic_ai.messages import ModelResponse as Response

    messages: list[Any] = []
    for turn in conversation.turns:
        if isinstance(turn, Reply):
            messages.append(turn.original or Response(parts=[TextPart(content=turn.text)]))
            continue
        parts: list[Any] = [
            ToolReturnPart(tool_name=call.name, content=text, tool_call_id=call.id)
            for call, text in turn.results
        ]
        if turn.text:
            parts.append(UserPromptPart(content=turn.text))
        messages.append(ModelRequest(parts=parts, instructions=conversation.instructions))
    return messages


def _reply(response: Any) -> Reply:
    from pydantic_ai.messages import TextPart, ToolCallPart

    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    calls = [
        ToolCall(part.tool_call_id, part.tool_name, part.args)
        for part in response.parts
        if isinstance(part, ToolCallPart)
    ]
    return Reply(
        text="\n".join(texts),
        calls=tuple(calls),
        prompt_tokens=response.usage.input_tokens or 0,
        completion_tokens=response.usage.output_tokens or 0,
        original=response,
    )
