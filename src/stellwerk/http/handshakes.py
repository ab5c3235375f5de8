"""Accepting TLS connections: every handshake has a time limit, and those under way have a bound.

Theory of operation. The event loop's own server counts nothing before a handshake is done, so peers that
connect and stay silent could take every file descriptor. Here sockets are accepted by hand, a few in each
turn of the loop, so that handshakes under way get on in between: a fleet that comes back all at once is
accepted as fast as it is served. When there are too many, the oldest is cut: an honest one is done in
milliseconds, so what has waited longest is what waits for ever.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable

import structlog

AT_ONCE = 16
PAUSE_S = 1.0
"""Without file descriptors nothing is accepted for so long."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = structlog.get_logger()


class Handshakes:
    """Accepts on one listening socket; stands where the HTTP server expects an `asyncio.Server`."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        *,
        limit_s: float,
        bound: int,
    ) -> None:
        """`protocol` makes the protocol of a connection; it is told of it when the handshake is done."""
        self._listening = listening
        self._context = context
        self._protocol = protocol
        self._limit_s = limit_s
        self._bound = bound
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._closed = False

    def start(self) -> None:
        """Accept from now on."""
        if not self._closed:
            self._loop.add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Accept nothing more and cut the handshakes under way; again is no error."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._listening)
            for task in list(self._under_way):
                task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is under way."""
        if self._under_way:
            await asyncio.wait(list(self._under_way))

    def __len__(self) -> int:
        return len(self._under_way)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                log.warning("no connection can be accepted", error=str(error))
                self._loop.remove_reader(self._listening)
                self._loop.call_later(PAUSE_S, self.start)
                return
            connection.setblocking(False)
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        if len(self._under_way) >= self._bound:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._shake(connection))
        self._under_way[task] = None
        task.add_done_callback(lambda done: self._under_way.pop(done, None))

    async def _shake(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._context, ssl_handshake_timeout=self._limit_s
            )
        except OSError as error:
            # Strangers fail all the time: scanners, health probes, plain HTTP.
            log.debug("handshake failed", error=str(error))
        except asyncio.CancelledError:
            connection.close()
            raise
