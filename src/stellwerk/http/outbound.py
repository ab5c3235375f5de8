"""The outbound policy: the one way by which the server calls addresses that others told it.

Theory of operation. A URL from an agent may name this machine's neighbours, a metadata service, or a name
that resolves to something harmless when it is checked and to something else when it is dialled. Therefore
not the URL but each address is judged, at the last moment before its socket connects, and the socket
connects to exactly that address. Redirects are not followed, answers are read up to a limit and not
unpacked, proxies of the environment and cookies are not used. Callers learn whether anything can have been
sent: `DialFailed` and `OutboundRefused` mean that nothing was; `AnswerLost` means that the other side may
have acted.

What speaks HTTP is in `http.dialling`, which is loaded at the first call: its library is a quarter of a start
and 8 MB, and most servers call nobody.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stellwerk.http.outbound_policy import DialFailed, OutboundAnswer
from stellwerk.settings import OutboundSettings

if TYPE_CHECKING:
    from stellwerk.http.dialling import Pool


class Outbound:
    """Calls other servers within the policy, over at most `connections` at once; 0 is any number."""

    def __init__(self, settings: OutboundSettings, connections: int = 200) -> None:
        self._settings = settings
        self._connections = connections
        self._started = False
        self._pool: Pool | None = None

    async def start(self) -> None:
        """Allow calls; again is no error."""
        self._started = True

    async def stop(self) -> None:
        """Close the pool; again is no error."""
        self._started = False
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def call(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> OutboundAnswer:
        """Send one request. Raises OutboundRefused, DialFailed, AnswerLost.

        `timeout_s` is for the whole call, at most the setting's; None is the setting's.
        """
        if not self._started:
            raise RuntimeError("The outbound pool was not started")
        pool = self._pool or await self._open()
        limit_s = min(timeout_s or self._settings.total_timeout_s, self._settings.total_timeout_s)
        return await pool.call(method, url, body, headers, limit_s)

    async def prepare(self) -> None:
        """Load what the first call would have to wait for; again is no error."""
        if self._started and self._pool is None:
            with contextlib.suppress(DialFailed):
                await self._open()

    async def _open(self) -> "Pool":
        # In a thread, because the event loop has others to answer for the length of the import.
        make = await asyncio.to_thread(_load_pool)
        if not self._started:
            raise DialFailed("The server stops")
        if self._pool is None:  # Several first calls may have waited.
            self._pool = make(self._settings, self._connections)
        return self._pool


def _load_pool() -> "type[Pool]":
    from stellwerk.http.dialling import Pool

    return Pool
