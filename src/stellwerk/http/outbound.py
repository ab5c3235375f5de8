"""The outbound policy: the one way by which the server calls addresses that others told it.

Theory of operation. A URL from an agent may name this machine's neighbours, a metadata service, or a name
that resolves to something harmless when it is checked and to something else when it is dialled. Therefore
not the URL but each address is judged, at the last moment before its socket connects, and the socket
connects to exactly that address. Redirects are not followed, answers are read up to a limit and not
unpacked, proxies of the environment and cookies are not used. Callers learn whether anything can have been
sent: `DialFailed` and `OutboundRefused` mean that nothing was; `AnswerLost` means that the other side may
have acted.
"""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from stellwerk.settings import OutboundSettings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

NEVER: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "::/128",
        "169.254.0.0/16",  # link-local, with the metadata services of most clouds
        "fe80::/10",
        "fd00:ec2::/32",  # AWS metadata
        "100.100.100.200/32",  # Alibaba metadata
        "168.63.129.16/32",  # Azure's host agent
        "192.0.0.192/32",  # Oracle metadata
        "224.0.0.0/4",
        "ff00::/8",
        "255.255.255.255/32",
    )
)
"""Addresses that no setting allows."""

NAT64 = ipaddress.ip_network("64:ff9b::/96")
POOL_IDLE_S = 2.0
"""Shorter than servers keep idle connections, so that a request rarely meets one that is being closed."""
CONNECTIONS = 200


class OutboundRefused(Exception):
    """The policy forbids the call; nothing was sent, and trying again is of no use."""


class DialFailed(Exception):
    """No connection came about (name, port, TLS, time); nothing was sent."""


class AnswerLost(Exception):
    """The request may have arrived, but there is no usable answer: lost, too late, or too large."""


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """What the other side said; redirects and errors included."""

    status: int
    content_type: str
    """Without parameters, empty if there was none."""
    body: bytes


class _Forbidden(OSError):
    """Leaves the dialling of one address."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{_Forbidden.__name__}: {address} is not in outbound.allowed_networks")


class Outbound:
    """Calls other servers within the policy."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._settings = settings
        self._allowed = tuple(ipaddress.ip_network(text) for text in settings.allowed_networks)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool; again is no error."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=aiohttp.ThreadedResolver(),
                socket_factory=self._socket,
                limit=CONNECTIONS,
                keepalive_timeout=POOL_IDLE_S,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                headers={"accept-encoding": "identity", "user-agent": "stellwerk"},
            )

    async def stop(self) -> None:
        """Close the pool; again is no error."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
        if self._session is None:
            raise RuntimeError("The outbound pool was not started")
        limit_s = min(timeout_s or self._settings.total_timeout_s, self._settings.total_timeout_s)
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
            raise DialFailed(f"{url}: {error}") from error
        except aiohttp.InvalidURL as error:
            raise OutboundRefused(f"{url}: {error}") from error
        except TimeoutError as error:
            raise AnswerLost(f"{url}: no answer within {limit_s:g} s") from error
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


def is_allowed(address: Address, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address may be dialled. What embeds an IPv4 address is judged by that one."""
    plain = _embedded(address) or address
    if any(plain in network for network in NEVER):
        return False
    return any(plain in network for network in networks)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _checked(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise OutboundRefused(f"{text}: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.user is not None:
        raise OutboundRefused(f"{text}: a URL with http or https, a host and no user is needed")
    return url
