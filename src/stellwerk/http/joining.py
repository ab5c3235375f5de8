"""A transport that sends the head of an answer together with the first of its body.

The HTTP server writes them one after the other, and the event loop hands every write to the kernel at once: a
second system call and a second packet for every answer (a third of the kernel's time of a small one,
measured). Here a head is held until the body follows, which it does before anything else can run; if it does
not (a stream that has nothing to say yet), the head goes out by itself in the same turn of the loop.
"""

import asyncio
from typing import Any

_HEAD = b"HTTP/1.1 "
_INTERIM = b"HTTP/1.1 1"
"""`100 Continue` has no body, and its reader waits for it."""
_COPIED_BYTES = 65_536
"""Larger bodies are handed over beside the head instead of being copied behind it."""


class JoiningTransport:
    """Wraps the transport of one connection; everything but `write` and `close` passes through."""

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or hold the head of an answer until the end of this turn of the loop at most."""
        held = self._held
        if held:
            self._held = b""
            if len(data) > _COPIED_BYTES:
                self._transport.writelines((held, data))
            else:
                self._transport.write(held + data)
        elif data.startswith(_HEAD) and not data.startswith(_INTERIM):
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)

    def close(self) -> None:
        """Close after everything written, the held head included."""
        self.flush()
        self._transport.close()
