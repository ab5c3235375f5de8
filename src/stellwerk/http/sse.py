"""Server-sent events: blocks of fields, and a sign of life where nothing happens."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

EVENT_STREAM = "text/event-stream"
KEEP_ALIVE_S = 15.0
"""Shorter than what proxies allow a silent connection."""
STILL_HERE = b": still here\n\n"
T = TypeVar("T")


def block(data: bytes, *, event: str = "", identifier: str = "") -> bytes:
    """Write one event; `data` has no line breaks."""
    fields = [f"id: {identifier}\n".encode()] if identifier else []
    fields += [f"event: {event}\n".encode()] if event else []
    return b"%bdata: %b\n\n" % (b"".join(fields), data)


async def with_silences(source: AsyncIterator[T]) -> AsyncGenerator[T | None, None]:
    """Pass everything on, and None where nothing has come for a while. Close it: `contextlib.aclosing`."""
    pending: asyncio.Future[T] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(source))
            await asyncio.wait({pending}, timeout=KEEP_ALIVE_S)
            if not pending.done():
                yield None
                continue
            done, pending = pending, None
            yield done.result()
    except StopAsyncIteration:
        return
    finally:
        if pending is not None:
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await pending


async def with_signs_of_life(
    source: AsyncGenerator[T, None], write: Callable[[T], bytes]
) -> AsyncGenerator[bytes, None]:
    """Write everything that comes, and a comment where nothing has come for a while. Closes the source."""
    async with contextlib.aclosing(source), contextlib.aclosing(with_silences(source)) as passed:
        async for one in passed:
            yield STILL_HERE if one is None else write(one)
