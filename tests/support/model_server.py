"""A language model that says what a test wants, over real HTTP, in the wire format of whoever asks."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

PROMPT_TOKENS, COMPLETION_TOKENS = 1_000, 50


@dataclass(frozen=True, slots=True)
class Say:
    """An answer: text, or calls of tools."""

    text: str = ""
    calls: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Fail:
    """A refusal, or bytes that are no answer."""

    status: int = 500
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer at all."""


Turn = Say | Fail | Hang
Script = Callable[[dict[str, Any]], Turn]
"""Is handed the body of the request."""


def call(name: str, /, **arguments: Any) -> Say:
    """Call one tool."""
    return Say(calls=((name, arguments),))


@dataclass
class ModelServer:
    """A running server; the last turn is said again and again."""

    url: str
    script: Sequence[Turn] | Script
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies, as they came."""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def next_turn(self, body: dict[str, Any]) -> Turn:
        if callable(self.script):
            return self.script(body)
        return self.script[min(len(self.requests), len(self.script)) - 1]


@asynccontextmanager
async def model_server(
    *turns: Turn, script: Script | None = None, together: int = 0
) -> AsyncIterator[ModelServer]:
    """Serve a model. `together`: so many first requests are answered only when all of them are there."""
    crowd = asyncio.Barrier(together) if together else None
    over = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        served.requests.append(body)
        served.paths.append(request.path_qs)
        served.headers.append({name.lower(): value for name, value in request.headers.items()})
        served.asked.set()
        turn = served.next_turn(body)
        if crowd is not None and len(served.requests) <= together:
            await crowd.wait()
        match turn:
            case Hang():
                await over.wait()
                return web.Response(status=503)
            case Fail():
                return web.Response(
                    status=turn.status,
                    text=turn.body,
                    headers=turn.headers,
                    content_type="application/json",
                )
            case Say():
                return web.json_response(_format(request.path)(turn))

    application = web.Application()
    application.router.add_post("/{path:.*}", answer)
    server = TestServer(application)
    await server.start_server()
    served = ModelServer(str(server.make_url("")).rstrip("/"), script or turns)
    try:
        yield served
    finally:
        over.set()
        await server.close()


_ids = itertools.count(1)


def _format(path: str) -> Callable[[Say], dict[str, Any]]:
    if path.endswith("/chat/completions"):
        return _chat
    if path.endswith("/messages") or path.endswith(":rawPredict"):
        return _claude
    if path.endswith(":generateContent"):
        return _gemini
    if path.endswith("/converse"):
        return _converse
    raise AssertionError(path)


def _chat(turn: Say) -> dict[str, Any]:
    calls = [
        {
            "id": f"call{next(_ids):05}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for name, arguments in turn.calls
    ]
    message: dict[str, Any] = {"role": "assistant", "content": turn.text or None}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
    }


def _claude(turn: Say) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": turn.text}] if turn.text else []
    content += [
        {"type": "tool_use", "id": f"toolu_{next(_ids)}", "name": name, "input": arguments}
        for name, arguments in turn.calls
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": content,
        "stop_reason": "tool_use" if turn.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS},
    }


def _gemini(turn: Say) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    parts += [{"functionCall": {"name": name, "args": arguments}} for name, arguments in turn.calls]
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": PROMPT_TOKENS,
            "candidatesTokenCount": COMPLETION_TOKENS,
            "totalTokenCount": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
        "modelVersion": "scripted",
        "responseId": "r-1",
    }


def _converse(turn: Say) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    content += [
        {"toolUse": {"toolUseId": f"tooluse_{next(_ids)}", "name": name, "input": arguments}}
        for name, arguments in turn.calls
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if turn.calls else "end_turn",
        "usage": {
            "inputTokens": PROMPT_TOKENS,
            "outputTokens": COMPLETION_TOKENS,
            "totalTokens": PROMPT_TOKENS + COMPLETION_TOKENS,
        },
        "metrics": {"latencyMs": 1},
    }
