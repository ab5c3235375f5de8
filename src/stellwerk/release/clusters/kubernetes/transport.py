"""Calls to the API server: connections, repetition, time limits.

Theory of operation. A call is repeated while the server cannot be reached, is overloaded (429, 5xx) or says
that somebody else was faster (409), with doubling pauses or the one that the server names, as long as the
whole stays within `Patience.within_s`. Every call that the product makes may be repeated: reads, server-side
applies, deletions and patches that set values. After that the failure is raised as what it means to the
caller.

Silence is noticed by TCP itself: the kernel probes an idle connection every few seconds, so that a watch
whose network broke ends in half a minute and not in hours.
"""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable
from stellwerk.release.clusters.kubernetes.access import Access, Misconfigured
from stellwerk.release.clusters.kubernetes.refusals import failure_of, is_race, is_temporary

JSON = "application/json"
CONNECTIONS = 16
"""At once to one API server, watches apart: it is busy with that many, and each costs a handshake."""
IDLE_PROBES = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))
"""Seconds of silence until the kernel asks, between its questions, and how many may stay without answer."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long we try."""

    call_s: float = 35.0
    """For one call: an admission webhook may take thirty seconds."""
    connect_s: float = 5.0
    within_s: float = 6.0
    """After so long no repetition begins: somebody waits for the answer."""
    first_pause_s: float = 0.15
    longest_pause_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = JSON
    accept: str = JSON
    what: str = ""
    """What it is about, for messages; empty for the path."""
    answers_missing: bool = False
    """Whether 404 is an answer like others, and no failure."""

    def __str__(self) -> str:
        return self.what or f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to a call that succeeded."""

    status: int
    body: bytes
    repeated: bool
    """Whether an earlier try may have done it already."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """A try that did not succeed."""

    failure: ClusterError
    repeatable: bool
    wait_s: float = 0.0
    """What the server asks for."""


class Transport:
    """Calls one API server; see the module."""

    def __init__(self, access: Access, patience: Patience) -> None:
        self._access = access
        self._patience = patience
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._opened: aiohttp.ClientSession | None = None
        self._closed = False

    async def call(self, call: Call) -> Answer:
        """Send a request until it succeeds or is refused. Raises ClusterError."""
        loop = asyncio.get_running_loop()
        ends_at, pause_s = None, self._patience.first_pause_s
        while True:
            async with (
                self._turns
            ):  # not the connections' own queue: waiting in it counts as time of the call
                ends_at = ends_at or loop.time() + self._patience.within_s
                tried = await self._try(call)
            if isinstance(tried, Answer):
                return tried if pause_s == self._patience.first_pause_s else replace(tried, repeated=True)
            wait_s = max(tried.wait_s, pause_s * (0.5 + random.random()))  # noqa: S311  guards no secret
            if not tried.repeatable or loop.time() + wait_s > ends_at:
                raise tried.failure
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, self._patience.longest_pause_s)

    async def _try(self, call: Call) -> Answer | _Failed:
        timeout = aiohttp.ClientTimeout(self._patience.call_s, sock_connect=self._patience.connect_s)
        try:
            async with self._send(call, timeout) as answer:
                status, body, wait_s = answer.status, await answer.read(), _seconds(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            hopeless = isinstance(
                error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError
            )
            return _Failed(unreachable(self._access.server, error), not hopeless)
        if status < 300 or (status == 404 and call.answers_missing):
            return Answer(status, body, repeated=False)
        repeatable = is_temporary(status, body) or is_race(status, body)
        if status == 401:
            repeatable = self._access.credentials.refused()
        return _Failed(failure_of(status, body, str(call), wait_s), repeatable, wait_s or 0.0)

    @asynccontextmanager
    async def stream(self, call: Call, silence_s: float) -> AsyncGenerator[aiohttp.StreamReader, None]:
        """Send a request once and read its answer as it comes; `silence_s`: the longest that may be normal.

        Raises ClusterError, also where the stream breaks.
        """
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._patience.connect_s, sock_read=silence_s
        )
        try:
            async with self._send(call, timeout) as answer:
                if answer.status >= 300:
                    if answer.status == 401:
                        self._access.credentials.refused()
                    raise failure_of(answer.status, await answer.read(), str(call), _seconds(answer))
                yield answer.content
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(self._access.server, error) from error

    async def close(self) -> None:
        """Close all connections; idempotent."""
        self._closed = True
        if self._opened is not None:
            await self._opened.close()

    @asynccontextmanager
    async def _send(
        self, call: Call, timeout: aiohttp.ClientTimeout
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        headers = {"Accept": call.accept, "User-Agent": "stellwerk"}
        try:
            if value := await self._access.credentials.authorization():
                headers["Authorization"] = value
        except Misconfigured as error:
            raise ClusterUnavailable(str(error)) from error
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        more: dict[str, Any] = (
            {"server_hostname": self._access.tls_server_name} if self._access.tls_server_name else {}
        )
        async with self._session().request(
            call.method,
            self._access.server + call.path,
            params=call.query,
            data=call.body,
            headers=headers,
            timeout=timeout,
            proxy=self._access.proxy,
            allow_redirects=False,  # a token must not follow an answer to another host
            **more,
        ) as answer:
            yield answer

    def _session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClusterUnavailable(f"the connection to {self._access.name} was closed")
        if self._opened is None:
            connector = aiohttp.TCPConnector(
                limit=0, ssl=self._access.tls or False, socket_factory=_probed_socket, keepalive_timeout=60
            )
            self._opened = aiohttp.ClientSession(connector=connector)
            # The library repeats some calls by itself and does not say so: a deletion that was done by the
            # first of two would look like one of nothing. There is no public way to stop it.
            self._opened._retry_connection = False
        return self._opened


def unreachable(server: str, error: Exception) -> ClusterError:
    """Say that a server gives no answer, and why."""
    why = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        why = "it gave no answer in time"
    return ClusterUnavailable(f"the API server {server} cannot be reached: {why}")


def _probed_socket(address: Any) -> socket.socket:
    family, kind, protocol = address[:3]
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in IDLE_PROBES:
        opened.setsockopt(socket.IPPROTO_TCP, option, value)
    return opened


def _seconds(answer: aiohttp.ClientResponse) -> float | None:
    """Return what `Retry-After` asks for; dates are not what API servers send."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None
