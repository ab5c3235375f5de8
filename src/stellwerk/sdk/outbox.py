"""Frames on their way out: whatever gathers within one turn of the event loop leaves as one message."""

from __future__ import annotations

import asyncio

MESSAGE_BYTES = 262_144
"""Messages are not filled beyond this; a single larger frame goes alone. The server takes 2 MiB."""


class Outbox:
    """Encoded frames for one connection at a time.

    Closed while there is none: frames are then thrown away, because everything that matters is said again
    after the next `open` from what is held. Used on the event loop only.
    """

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._open = False

    def open(self) -> None:
        """Begin to keep frames, with none left over from before."""
        self._frames.clear()
        self._open = True

    def close(self) -> None:
        """Throw away what waits and what will come."""
        self._frames.clear()
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that frames may leave on."""
        return self._open

    def put(self, frame: bytes) -> None:
        """Send a frame soon, behind those that were put before."""
        if not self._open:
            return
        self._frames.append(frame)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[bytes]:
        """Wait for frames and return all that are there."""
        while not self._frames:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        frames, self._frames = self._frames, []
        return frames


def messages(frames: list[bytes]) -> list[bytes]:
    """Put frames together to as few messages as their size allows."""
    made: list[bytes] = []
    batch: list[bytes] = []
    size = 0
    for frame in frames:
        if batch and size + len(frame) > MESSAGE_BYTES:
            made.append(_message(batch))
            batch, size = [], 0
        batch.append(frame)
        size += len(frame)
    if batch:
        made.append(_message(batch))
    return made


def _message(batch: list[bytes]) -> bytes:
    return batch[0] if len(batch) == 1 else b"[" + b",".join(batch) + b"]"
