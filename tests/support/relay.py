"""A TCP relay on the loopback that stands for the network between an agent and the server, and can fail.

Each connection has two threads that copy bytes. What fails is what real networks do: connections are reset,
answers are lost while requests still arrive, nobody can connect for a while.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

CHUNK = 65_536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes `close` send a reset: neither side gets a farewell."""


class Relay:
    """Listens on a free port and copies to whatever port `target` names at the moment."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._changing = threading.Lock()
        self._deaf = threading.Event()
        self._down = threading.Event()
        self._left: int | None = None
        self.refused = 0
        """Connections that were refused because it is down."""
        self._delay_s = 0.0
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every connection."""
        with self._changing:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            _reset(pair)

    def deafen(self) -> None:
        """Lose every answer of the server from now on; what is sent to it still arrives."""
        self._deaf.set()

    def delay(self, seconds: float) -> None:
        """Hold back what either side sends by this long from now on."""
        self._delay_s = seconds

    def take_down(self) -> None:
        """Reset every connection and every attempt at one, until `mend`."""
        self._down.set()
        self.cut()

    def take_down_after(self, answered: int) -> None:
        """Take it down once the server has answered so many bytes more."""
        self._left = answered

    def mend(self) -> None:
        """Copy again; connections that missed something are reset."""
        if self._deaf.is_set():
            self.cut()
        self._deaf.clear()
        self._down.clear()
        self._delay_s = 0.0

    def close(self) -> None:
        """End for good."""
        self._down.set()
        # `close` alone would leave the thread in `accept`.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self._join(client)

    def _join(self, client: socket.socket) -> None:
        try:
            if self._down.is_set():
                self.refused += 1
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self._target()), timeout=5)
        except OSError:
            _reset((client,))
            return
        server.settimeout(None)
        pair = client, server
        for one in pair:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changing:
            self._pairs.add(pair)
        threading.Thread(target=self._copy, args=(pair, client, server, None), daemon=True).start()
        threading.Thread(target=self._copy, args=(pair, server, client, self._deaf), daemon=True).start()

    def _copy(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        sink: socket.socket,
        lost: threading.Event | None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                if delay_s := self._delay_s:
                    time.sleep(delay_s)
                if lost is None or not lost.is_set():
                    sink.sendall(data)
                if lost is not None and self._left is not None:
                    self._left -= len(data)
                    if self._left <= 0:
                        self._left = None
                        self.take_down()
        with self._changing:
            known = pair in self._pairs
            self._pairs.discard(pair)
        if known:
            for one in pair:
                # Wakes the other thread; a farewell of one side ends both, as TLS does.
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()


def _reset(sockets: tuple[socket.socket, ...]) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            # The copying thread sits in `recv` and would keep the connection open.
            one.shutdown(socket.SHUT_RD)
        one.close()
