"""Request bodies: read within a limit, checked as strict JSON, then handed on unchanged.

How long a body may take to arrive is the connection's affair (`http.protocol`). A body over the limit is
refused as soon as that is known; the server reads and forgets what the client still sends, so that the
client can finish and see the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stellwerk.http.json_check import InvalidJson, check_json
from stellwerk.http.problem import Problem
from stellwerk.settings import LimitSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

JSON = b"application/json"
# What `curl -d` sends when it is not told otherwise, and what says nothing.
READ_AS_JSON = frozenset({JSON, b"", b"application/x-www-form-urlencoded"})
LARGE_BYTES = 32_768
"""From here on a body is checked beside the event loop: a hostile megabyte takes a quarter of a second."""


class ClientLeft(OSError):
    """The client went away before its request was complete, or before a message reached it."""


class Bodies:
    """Reads and checks the bodies of every listener."""

    __slots__ = ("_checker", "_depth", "_limit")

    def __init__(self, limits: LimitSettings) -> None:
        self._limit = limits.body_bytes
        self._depth = limits.depth
        # One thread: checking competes with the event loop for the interpreter, more would only slow that
        # down.
        self._checker = ThreadPoolExecutor(1, "json-check")

    async def read(self, headers: dict[bytes, bytes], receive: Receive, limit: int | None = None) -> bytes:
        """Return the checked body, empty if there is none; `limit` None is the setting's.

        Raises Problem (413, 415, 422) and ClientLeft.
        """
        limit = self._limit if limit is None else limit
        size = _announced(headers)
        if size == 0:
            return b""
        media_type = media_type_of(headers)
        if media_type not in READ_AS_JSON and not media_type.endswith(b"+json"):
            raise Problem.unsupported_media_type(media_type.decode("latin-1"))
        if size is not None and size > limit:
            raise Problem.too_large(limit)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] != "http.request":
            raise ClientLeft
        if message.get("more_body"):
            body = await self._rest(body, receive, limit)
        if len(body) > limit:
            raise Problem.too_large(limit)
        if body:
            await self._check(body)
        return body

    async def _rest(self, first: bytes, receive: Receive, limit: int) -> bytes:
        parts, size, more = [first], len(first), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientLeft
            part, more = message.get("body", b""), message.get("more_body", False)
            parts.append(part)
            size += len(part)
            if size > limit:
                raise Problem.too_large(limit)
        return b"".join(parts)

    async def _check(self, body: bytes) -> None:
        try:
            if len(body) < LARGE_BYTES:
                check_json(body, self._depth)
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._checker, check_json, body, self._depth)
        except InvalidJson as error:
            raise Problem.invalid(str(error), "invalid_json") from None


def replay(body: bytes, receive: Receive, draining: asyncio.Event | None) -> Receive:
    """Make a `receive` that gives the body once, then waits until the client leaves or the server drains."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await (receive() if draining is None else _left_or_drained(receive, draining))
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _left_or_drained(receive: Receive, draining: asyncio.Event) -> Message:
    message = asyncio.ensure_future(receive())
    drained = asyncio.ensure_future(draining.wait())
    try:
        await asyncio.wait({message, drained}, return_when=asyncio.FIRST_COMPLETED)
        return message.result() if message.done() else {"type": "http.disconnect"}
    finally:
        message.cancel()
        drained.cancel()


def media_type_of(headers: dict[bytes, bytes]) -> bytes:
    """Name the content type without its parameters, empty if there is none."""
    media_type = headers.get(b"content-type", b"")
    return media_type if media_type == JSON else media_type.partition(b";")[0].strip().lower()


def _announced(headers: dict[bytes, bytes]) -> int | None:
    """Size of the body as announced; None if it is sent in chunks."""
    if b"transfer-encoding" in headers:
        return None
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise Problem(400, "bad_request", "Content-Length is no number")
    return int(length)
