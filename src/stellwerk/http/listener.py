"""Listeners: sockets with an application behind them, on the running event loop.

Theory of operation. Binding comes first and apart, so that a busy port is known before anything runs.
`start` returns when connections are accepted. `stop` closes the socket, sets `draining` (streams end
themselves on it: the gate turns it into a disconnect), sends 1012 to WebSockets, lets running requests
finish within the limit, and cuts what is left. Signals belong to the program, not to the listeners.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn

from stellwerk.clock import Clock
from stellwerk.http.forwarding import Forwarding
from stellwerk.http.handshakes import Handshakes
from stellwerk.http.protocol import Connections, bounded_protocol
from stellwerk.http.tls import Tls
from stellwerk.http.websocket import BoundedWebSocket
from stellwerk.settings import AccessSettings, LimitSettings

KEEP_ALIVE_S = 75
"""Idle connections are kept longer than the clients' pools keep them, so that a client is first to close."""

PING_S = 20.0
BACKLOG = 2_048
TICK_S = 1.0
"""The `Date` of answers is made this often, and has no more precision."""
LOOK_S = 0.005
"""How often a stop looks whether requests have ended."""

log = structlog.get_logger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """Bind a TCP socket; port 0 takes a free one. Raises OSError, EADDRINUSE if the port is busy."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        # Only a socket that listens refuses the port to the next one.
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


@dataclass(frozen=True, slots=True)
class Serving:
    """What all listeners of a process have in common."""

    limits: LimitSettings
    access: AccessSettings
    connections: Connections
    stop_timeout_s: float
    clock: Clock


class Listener:
    """One bound socket and the application that answers on it."""

    def __init__(
        self,
        name: str,
        listening: socket.socket,
        application: Callable[..., Any],
        serving: Serving,
        tls: Tls | None = None,
    ) -> None:
        self.name = name
        self._socket = listening
        self._application = application
        self._serving = serving
        self._tls = tls
        self._draining = asyncio.Event()
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        host, port = listening.getsockname()[:2]
        self.host: str = host
        self.port: int = port

    @property
    def url(self) -> str:
        """Base address for a client on this machine."""
        scheme = "http" if self._tls is None else "https"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - translated away
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    async def start(self) -> None:
        """Accept connections from now on; again is no error."""
        if self._task is not None:
            return
        config = _config(self._application, self._serving)
        self._server = _Server(config, self._draining, self._serving.limits, self._tls)
        self._serving.connections.add(self._server.server_state.connections)
        self._task = asyncio.create_task(self._server.serve([self._socket]), name=f"listener-{self.name}")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Finish within the limit; again, or before `start`, is no error."""
        if self._task is None or self._server is None:
            self._socket.close()
            return
        self._draining.set()
        self._server.should_exit = True
        await self._task
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


class _Server(uvicorn.Server):
    """The server without its signal handlers, and with word of its start."""

    def __init__(
        self, config: uvicorn.Config, draining: asyncio.Event, limits: LimitSettings, tls: Tls | None
    ) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._draining = draining
        self._limits = limits
        self._tls = tls

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Becomes `scope["state"]` of every request.
        self.lifespan.state["draining"] = self._draining
        if self._tls is None:
            await super().startup(sockets)
        else:
            self.servers = [self._accept_tls(one, self._tls) for one in sockets or ()]
            self.started = True
        self.ready.set()

    async def main_loop(self) -> None:
        """Keep the date of the answers until the stop. Uvicorn's wakes ten times a second and ends late."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._draining.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end within the limit; uvicorn pauses for tenths of a second where nothing is left."""
        for server in self.servers:
            server.close()
        for one in sockets or ():
            one.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:  # noqa: ASYNC110 (uvicorn's sets tell nobody)
                    await asyncio.sleep(LOOK_S)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            log.warning("requests are cut off, their time is over", requests=len(state.tasks))
            for task in list(state.tasks):
                task.cancel()

    def _accept_tls(self, listening: socket.socket, tls: Tls) -> Any:
        accepting = Handshakes(
            listening,
            tls.front(),
            self._protocol,
            limit_s=self._limits.handshake_s,
            bound=self._limits.handshakes,
        )
        accepting.start()
        return accepting

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _config(application: Callable[..., Any], serving: Serving) -> uvicorn.Config:
    proxies = list(serving.access.trusted_proxies)
    forwarding = Forwarding(proxies, serving.access.certificate_header)
    config = uvicorn.Config(
        application,
        loop="none",
        http=bounded_protocol(serving.limits, serving.connections, forwarding, serving.clock),
        ws=BoundedWebSocket,
        ws_max_size=serving.limits.websocket_frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(serving.stop_timeout_s)),
        backlog=BACKLOG,
    )
    config.load()
    return config
