"""What goes out over a WebSocket: put without waiting, written by a task that lives only while there is
something.

Theory of operation. `put` appends and makes sure that a writer runs. The writer takes everything that
waits, joins it into one message (an object, or an array of several), hands it to the server and looks
again; an idle connection has no task and no buffer for it. The server's `send` blocks while the peer does
not read. The outbox is *stuck* when one message takes longer than `PATIENCE_S`, and fails when it is stuck
with much waiting, or has far too much waiting in any case: it takes nothing more and reports that once, so
that the connection can be ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

STUCK_BYTES = 1_048_576
"""What may wait for a peer that does not read at all."""
LIMIT_BYTES = 67_108_864
"""What may wait for anybody: an agent with a large capacity can be given as many large tasks at once."""
PATIENCE_S = 10.0
"""How long one message may take: a peer that reads at all takes 256 KiB sooner."""
MESSAGE_BYTES = 262_144
"""Frames are joined up to this size; a larger frame goes alone."""


class Outbox:
    """The way out of one connection."""

    __slots__ = ("_failed", "_frames", "_send", "_sending_since", "_size", "_writer", "closed")

    def __init__(
        self, send: Callable[[dict[str, Any]], Awaitable[None]], failed: Callable[[bool], None]
    ) -> None:
        self._send = send
        self._failed = failed
        """Called once, with True when the outbox was overfull and False when the connection broke."""
        self._frames: list[bytes] = []
        self._size = 0
        self._writer: asyncio.Task[None] | None = None
        self._sending_since = 0.0
        self.closed = False

    @property
    def stuck(self) -> bool:
        """Whether the peer does not read."""
        writer = self._writer
        return writer is not None and writer.get_loop().time() - self._sending_since > PATIENCE_S

    def put(self, frame: bytes) -> None:
        """Send a frame soon; nothing happens on a closed outbox."""
        if self.closed:
            return
        self._size += len(frame)
        if self._size > LIMIT_BYTES or (self._size > STUCK_BYTES and self.stuck):
            self._end(overfull=True)
            return
        self._frames.append(frame)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
            self._sending_since = self._writer.get_loop().time()

    async def drained(self, limit_s: float) -> None:
        """Wait until everything is written, at most so long."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=limit_s)

    def close(self) -> None:
        """Drop what waits, and take nothing more."""
        self.closed = True
        self._frames.clear()
        if self._writer is not None:
            self._writer.cancel()

    async def _write(self) -> None:
        try:
            while self._frames:
                self._sending_since = asyncio.get_running_loop().time()
                await self._send({"type": "websocket.send", "text": self._next_message().decode()})
        except Exception:
            self._end(overfull=False)
        finally:
            self._writer = None

    def _next_message(self) -> bytes:
        frames, self._frames = self._frames, []
        size = 0
        for count, frame in enumerate(frames):
            size += len(frame)
            if size > MESSAGE_BYTES and count:
                self._frames = frames[count:]
                frames = frames[:count]
                break
        self._size = sum(map(len, self._frames))
        return frames[0] if len(frames) == 1 else b"[" + b",".join(frames) + b"]"

    def _end(self, *, overfull: bool) -> None:
        if not self.closed:
            self.closed = True
            self._frames.clear()
            self._failed(overfull)
