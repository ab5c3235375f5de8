"""Dialling within the outbound policy: each address is judged when its socket is made."""

import errno
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from stellwerk.http.outbound_policy import (
    AnswerLost,
    DialFailed,
    OutboundAnswer,
    OutboundRefused,
    is_allowed,
)
from stellwerk.settings import OutboundSettings

POOL_IDLE_S = 2.0
"""Shorter than servers keep idle connections, so that a request rarely meets one that is being closed."""


class _Forbidden(OSError):
    """Leaves the dialling of one address."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{_Forbidden.__name__}: {address} is not in outbound.allowed_networks")


class Pool:
    """Connections to other servers. Make it on the running event loop."""

    def __init__(self, settings: OutboundSettings, connections: int) -> None:
        self._settings = settings
        self._allowed = tuple(ipaddress.ip_network(text) for text in settings.allowed_networks)
        connector = aiohttp.TCPConnector(
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=self._socket,
            limit=connections,
            keepalive_timeout=POOL_IDLE_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"accept-encoding": "identity", "user-agent": "stellwerk"},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None, limit_s: float
    ) -> OutboundAnswer:
        """Send one request, within `limit_s` for the whole call. Raises as `Outbound.call` does."""
        timeout = aiohttp.ClientTimeout(total=limit_s, sock_connect=self._settings.connect_timeout_s)
        try:
            async with self._session.request(
                method, _checked(url), data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                return OutboundAnswer(response.status, content_type, await self._read(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Of several addresses aiohttp puts the reasons into one text.
            if _Forbidden.__name__ in str(getattr(error, "os_error", error)):
                raise OutboundRefused(f"{url}: the address is not in outbound.allowed_networks") from error
            refused = getattr(error, "errno", None) == errno.ECONNREFUSED
            raise DialFailed(f"{url}: {error}", refused=refused) from error
        except aiohttp.InvalidURL as error:
            raise OutboundRefused(f"{url}: {error}") from error
        except TimeoutError as error:
            raise AnswerLost(f"{url}: no answer within {limit_s:g} s", late=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise AnswerLost(f"{url}: {error}") from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit, parts, size = self._settings.response_bytes, [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > limit:
                response.close()
                raise AnswerLost(f"{response.url}: the answer is larger than {limit} bytes")
            parts.append(part)
        return b"".join(parts)

    def _socket(self, address_info: Any) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not is_allowed(ipaddress.ip_address(address[0].partition("%")[0]), self._allowed):
            raise _Forbidden(address[0])
        dialling = socket.socket(family, kind, protocol)
        dialling.setblocking(False)
        return dialling


def _checked(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise OutboundRefused(f"{text}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.user is not None:
        raise OutboundRefused(f"{text}: a URL with http or https, a host and no user is needed")
    return url
