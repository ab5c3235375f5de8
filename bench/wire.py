"""Speaks the agents' WebSocket at the least cost: one protocol object a socket, frames built and read by
hand.

Client frames carry the mask 0, which is legal for a receiver and costs the sender nothing; a product's
client draws random masks. Nothing here is a model for a real client: it exists so that the measured process
is the server.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, cast

import msgspec

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
NO_MASK = bytes(4)


class ServerFrame(msgspec.Struct):
    """The fields of a server frame that the bench looks at; others are skipped by the decoder."""

    type: str
    task_id: str = ""
    lease: int = 0
    state: str = ""
    submitted_at: str = ""
    task_data: msgspec.Raw = msgspec.Raw(b"null")
    detail: str = ""


decode_frame = msgspec.json.Decoder(ServerFrame | list[ServerFrame]).decode
encode = msgspec.json.Encoder().encode


class AgentSocket(asyncio.Protocol):
    """One agent's connection. `heard` gets the frames of one message; `ended` is called once when it is
    gone.
    """

    def __init__(
        self, path: str, heard: "Callable[[AgentSocket, list[ServerFrame]], None]", ended: Callable[[], None]
    ) -> None:
        self.path = path
        self.heard = heard
        self.ended = ended
        self.buffer = b""
        self.open = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n", 1)[0]:
                raise ConnectionError(f"no WebSocket at {self.path}: {self.buffer[:300]!r}")
            self.open = True
            self.buffer = rest
        self.read_frames()

    def read_frames(self) -> None:
        buffer, at = self.buffer, 0
        while len(buffer) - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if len(buffer) < start + size or start > len(buffer):
                break
            self.take(buffer[at] & 0x0F, buffer[start : start + size])
            at = start + size
        self.buffer = buffer[at:]

    def take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            frames = decode_frame(payload)
            self.heard(self, frames if isinstance(frames, list) else [frames])
        elif opcode == PING:
            self.write(PONG, payload)
        elif opcode == CLOSE:
            self.transport.close()

    def send(self, frame: Any) -> None:
        """Send one frame, or a list of frames as one message."""
        self.write(TEXT, encode(frame))

    def write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 65_536:
            head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
        self.transport.write(head + NO_MASK + payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended()


def give_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End the process on a fault of its own: a figure from a half-broken generator is worse than none."""
    loop.default_exception_handler(context)
    os._exit(3)
