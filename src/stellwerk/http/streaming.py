"""Answers that take their time: a source that is streamed, or a use case that waits, until the caller
leaves.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from stellwerk.http.operation import Streaming

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
T = TypeVar("T")


class CallerGone(Exception):
    """The caller left before the answer; nobody is there to be told anything."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Await the work, but cancel it when the caller leaves. Raises CallerGone."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CallerGone
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def stream(answer: Streaming, receive: Receive, send: Send) -> None:
    """Send the answer until its source ends or the caller leaves."""
    media_type = (b"content-type", answer.media_type.encode())
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [media_type, (b"cache-control", b"no-store")],
        }
    )
    pump = asyncio.create_task(_pump(answer, send))
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
    finally:
        for task in (pump, gone):
            task.cancel()
        await asyncio.gather(pump, gone, return_exceptions=True)


async def _pump(answer: Streaming, send: Send) -> None:
    async with contextlib.aclosing(answer.chunks) as chunks:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
