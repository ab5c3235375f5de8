"""HTTP connections with bounds that the server itself does not have: heads, slow senders, number of
connections.

Theory of operation. One timer a connection runs while a request is on its way in: from the connection's
start, or from a request's first byte, until its last byte. Requests that arrive in one piece, which is
nearly all, never start it. A connection whose timer ends is closed; the application then sees a disconnect.
What a client still sends after it was answered (the rest of a refused body) is read and forgotten up to a
bound.
"""

import asyncio
import functools
from collections.abc import Collection
from typing import Any, ClassVar

from stellwerk.clock import Clock
from stellwerk.http.cycle import LeanProtocol
from stellwerk.http.forwarding import Forwarding
from stellwerk.http.peer import shown_on, with_peer
from stellwerk.http.websocket import BoundedWebSocket
from stellwerk.settings import LimitSettings

HEADERS = 100
FORGOTTEN_BYTES = 16_777_216
"""So much is read after an answer; a client that sends more of a refused body is cut off."""

TOO_LARGE_HEAD = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)


class Connections:
    """Counts the open connections, WebSockets included, of several listeners."""

    __slots__ = ("_limit", "_listeners")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._listeners: list[Collection[Any]] = []

    def add(self, connections: Collection[Any]) -> None:
        """Count a listener's connections too."""
        if not any(known is connections for known in self._listeners):
            self._listeners.append(connections)

    @property
    def exceeded(self) -> bool:
        """Whether there are more than the limit."""
        return sum(map(len, self._listeners)) > self._limit


class TooLargeHead(Exception):
    """Leaves the parser when the head of a request is beyond its bounds."""


class BoundedProtocol(LeanProtocol):
    """One connection."""

    limits: ClassVar[LimitSettings]
    open_connections: ClassVar[Connections]
    forwarding: ClassVar[Forwarding]
    clock: ClassVar[Clock]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._arrival: asyncio.TimerHandle | None = None
        self._arriving = True
        self._in_head = True
        self._head_bytes = 0
        self._forgotten = 0
        self._too_large_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base
        super().connection_made(transport)
        tls = shown_on(transport, self.clock.now_us())
        host = self.client[0] if self.client else ""
        self.app = with_peer(self.forwarding.apply(self.app, host, tls), tls)
        if self.open_connections.exceeded:
            transport.write(TOO_MANY)
            transport.close()
            return
        self._expect_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.limits.head_bytes:
            self.send_431_response()
        elif self._arriving:
            self._expect_arrival()
        elif self._arrival is not None:
            self._arrived()

    def on_message_begin(self) -> None:
        self._arriving = self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        # The chunk with the head may have much of the body too, so the head is measured itself.
        large = self._head_bytes > self.limits.head_bytes and self._head_size() > self.limits.head_bytes
        self._in_head, self._head_bytes = False, 0
        if large or len(self.headers) > HEADERS:
            self._too_large_head = True
            raise TooLargeHead
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            self._forgotten += len(body)
            if self._forgotten > FORGOTTEN_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._arriving, self._in_head, self._forgotten = False, True, 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._arriving = False
        self._arrived()
        self.ws_protocol_class = functools.partial(  # type: ignore[assignment]  # makes one all the same
            BoundedWebSocket, application=self.app
        )
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        if self._too_large_head:
            self.send_431_response()
        else:
            super().send_400_response(msg)

    def send_431_response(self) -> None:
        """Refuse the head and close."""
        self.transport.write(TOO_LARGE_HEAD)
        self.transport.close()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _expect_arrival(self) -> None:
        if self._arrival is None:
            self._arrival = self.loop.call_later(self.limits.arrival_s, self._late)

    def _arrived(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    def _late(self) -> None:
        self._arrival = None
        self.transport.close()


def bounded_protocol(
    limits: LimitSettings, connections: Connections, forwarding: Forwarding, clock: Clock
) -> type[BoundedProtocol]:
    """Make the protocol class with its bounds; the server creates the instances itself."""
    shared = {"limits": limits, "open_connections": connections, "forwarding": forwarding, "clock": clock}
    return type("Bounded", (BoundedProtocol,), shared)
