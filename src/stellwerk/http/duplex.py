"""A WebSocket over which both sides speak at any time: what every agent's connection has in common.

Theory of operation. One task reads (`Duplex.serve`) and hands each message on; the outbox writes when there
is something. An answer that takes its time is a *step*, a task of its own, so that the many steps of a busy
agent share the database's groups; steps of one key (a task, say) run in the order in which they came, and a
connection that has too many under way is not read from until some are done. Steps outlive their connection:
what was received is carried out. Ending closes from this side whether or not the peer reads.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from stellwerk.http.outbox import Outbox

NOT_READING = 4408
RESTART = 1012
STEPS_UNDER_WAY = 512
CLOSE_S = 1.0
"""How long the close frame may take; a peer that does not read never gets it."""

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Steps = set["asyncio.Task[None]"]


class Duplex:
    """One connection. `steps` collects what is under way over all connections."""

    __slots__ = (
        "_ending",
        "_latest",
        "_outbox",
        "_reader",
        "_send",
        "_steps",
        "_under_way",
    )

    def __init__(self, send: Send, steps: Steps) -> None:
        self._send = send
        self._steps = steps
        self._outbox = Outbox(send, self._failed)
        self._reader: asyncio.Task[Any] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._latest: dict[str, asyncio.Task[None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def alive(self) -> bool:
        """Whether what is put now has a chance to arrive."""
        return not self._outbox.closed and not self._outbox.stuck

    def put(self, frame: bytes) -> None:
        """Send a frame soon."""
        self._outbox.put(frame)

    async def serve(self, receive: Receive, take: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
        """Hand on every message until the connection ends."""
        self._reader = asyncio.current_task()
        try:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    return
                await take(message)
                while len(self._under_way) >= STEPS_UNDER_WAY:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if self._ending is None:
                raise
        finally:
            self._reader = None
            self._outbox.close()
            if self._ending is not None:
                await asyncio.wait({self._ending})

    def begin(self, key: str, step: Callable[[], Awaitable[None]]) -> None:
        """Run a step behind those of the same key; it must not raise."""
        task = asyncio.create_task(self._run(key, step, self._latest.get(key)))
        self._latest[key] = task
        self._under_way.add(task)
        self._steps.add(task)
        task.add_done_callback(self._done)

    def end(self, code: int, reason: str) -> None:
        """Close the connection soon, whether or not the peer reads; the first reason stands."""
        if self._ending is None:
            self._outbox.close()
            self._ending = asyncio.create_task(self._close(code, reason))

    async def end_after(self, frame: bytes, code: int, reason: str) -> None:
        """Send a last frame, then close."""
        self.put(frame)
        await self._outbox.drained(CLOSE_S)
        self.end(code, reason)

    async def drain(self, limit_s: float) -> None:
        """Let steps under way end, send what waits, and close with 1012."""
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=limit_s)
        await self._outbox.drained(CLOSE_S)
        self.end(RESTART, "The server stops")
        if self._ending is not None:
            await asyncio.wait({self._ending})

    def check(self) -> None:
        """End the connection of a peer that does not read."""
        if self._outbox.stuck:
            self.end(NOT_READING, "Frames are not read")

    async def _run(
        self, key: str, step: Callable[[], Awaitable[None]], earlier: "asyncio.Task[None] | None"
    ) -> None:
        if earlier is not None and not earlier.done():
            await asyncio.wait({earlier})
        try:
            await step()
        finally:
            if self._latest.get(key) is asyncio.current_task():
                del self._latest[key]

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._steps.discard(task)

    def _failed(self, overfull: bool) -> None:
        if overfull:
            self.end(NOT_READING, "Frames are not read")

    async def _close(self, code: int, reason: str) -> None:
        await close(self._send, code, reason)
        if self._reader is not None:
            self._reader.cancel()


async def close(send: Send, code: int, reason: str) -> None:
    """Say the end to a peer; one that has gone, or does not read, is not waited for."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await send({"type": "websocket.close", "code": code, "reason": reason})


async def until_gone(receive: Receive) -> None:
    """Take what a peer says, which is nothing to us, until it leaves."""
    while (await receive())["type"] == "websocket.receive":
        pass
