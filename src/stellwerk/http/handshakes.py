"""Accepting TLS connections: every handshake has a time limit, and those under way have a bound.

Theory of operation. The event loop's own server counts nothing before a handshake is done, so peers that
connect and stay silent could take every file descriptor. Here sockets are accepted by hand, a few in each
turn of the loop, so that handshakes under way get on in between. When there are too many, the oldest is cut
if it has had several times what those that succeed need at present; else nothing is accepted until it has,
or one is done. So silent peers cost the others half a second, a little more on a busy machine, and a fleet
that comes back all at once waits in the kernel's queue instead of being cut.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial

import structlog

AT_ONCE = 16
HONEST_S = 0.5
"""An honest handshake takes milliseconds of work and one round trip, when there is not much else to do."""
TIMES = 4.0
"""So many times the usual has a handshake that is not cut, up to that part of the limit of all."""
PAUSE_S = 1.0
"""Without file descriptors nothing is accepted for so long."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = structlog.get_logger(__name__)


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
        self._under_way: dict[asyncio.Task[None], float] = {}
        """With the loop's time of each beginning, oldest first."""
        self._paused: asyncio.TimerHandle | None = None
        self._usual_s = limit_s / TIMES**2
        """How long those that succeed take, the latest counting most; patient as long as none has."""
        self._closed = False

    def start(self) -> None:
        """Accept from now on."""
        self._paused = None
        if not self._closed:
            self._loop.add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Accept nothing more and cut the handshakes under way; again is no error."""
        if not self._closed:
            self._closed = True
            self._pause(0.0)
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
            if len(self._under_way) >= self._bound and not self._make_room():
                return
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                log.warning("no connection can be accepted", error=str(error))
                self._pause(PAUSE_S)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._shake(connection))
            self._under_way[task] = self._loop.time()
            task.add_done_callback(partial(self._done, connection))

    def _make_room(self) -> bool:
        """Cut the oldest, or pause until that may be done."""
        oldest, began = next(iter(self._under_way.items()))
        patience_s = min(max(HONEST_S, TIMES * self._usual_s), max(HONEST_S, self._limit_s / TIMES))
        left_s = began + patience_s - self._loop.time()
        if left_s > 0:
            self._pause(left_s)
            return False
        del self._under_way[oldest]
        oldest.cancel()
        return True

    def _done(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            connection.close()
        was_full = len(self._under_way) >= self._bound
        self._under_way.pop(task, None)
        if was_full and self._paused is not None:
            self._paused.cancel()
            self.start()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        if self._paused is not None:
            self._paused.cancel()
        self._paused = self._loop.call_later(seconds, self.start)

    async def _shake(self, connection: socket.socket) -> None:
        began = self._loop.time()
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._context, ssl_handshake_timeout=self._limit_s
            )
            self._usual_s += (self._loop.time() - began - self._usual_s) / 8
        except OSError as error:
            # Strangers fail all the time: scanners, health probes, plain HTTP.
            log.debug("handshake failed", error=str(error))
