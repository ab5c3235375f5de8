"""Who may reach a listener: open or closed, under which host names, from which web pages.

An open listener needs no credentials, so a web page in the user's browser could use it. Two checks prevent
that. `Host` must be a name of this machine, else a page whose own name was rebound to 127.0.0.1 would count
as the same origin. `Origin` and `Sec-Fetch-Site`, which browsers set and pages cannot, must not tell of a
foreign page.
"""

import ipaddress
from dataclasses import dataclass

from stellwerk.settings import AccessSettings, ServerSettings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one listener."""

    listener: str
    """Name of the listener, for the journal."""
    open: bool
    """Whether a caller without credentials is the local user."""
    hosts: frozenset[str] | None = None
    """Host names it may be addressed by, without port; None is any."""
    origins: frozenset[str] = frozenset()
    """Foreign origins that CORS allows."""


def access_of(listener: str, host: str, server: ServerSettings, access: AccessSettings) -> Access:
    """Derive a listener's rules from the address that it is bound to, never from a peer's.

    Behind a proxy no listener is open: whoever reaches the proxy would be the local user.
    """
    is_open = access.open_loopback and is_loopback(host) and not access.trusted_proxies
    hosts = LOOPBACK_NAMES | {host} | {name.lower() for name in server.names} if is_open else None
    return Access(listener, is_open, hosts, frozenset(access.origins))


def is_loopback(host: str) -> bool:
    """Tell whether an address to bind to is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str | None:
    """Cut the port off a `Host` header, in lower case and without brackets; None if it is malformed."""
    if header.startswith("["):
        name, closed, port = header[1:].partition("]")
        return name.lower() if closed and (not port or _is_port(port)) else None
    name, colon, digits = header.partition(":")
    return name.lower() if name and (not colon or _is_port(":" + digits)) else None


def is_foreign(headers: dict[bytes, bytes], method: str, allowed: frozenset[str]) -> bool:
    """Tell whether a browser sends the request for a page of another origin that is not allowed."""
    origin = headers.get(b"origin")
    if origin is not None:
        text = origin.decode("latin-1")
        return text not in allowed and not _same_origin(text, headers.get(b"host", b"").decode("latin-1"))
    if headers.get(b"sec-fetch-site") != b"cross-site":
        return False
    # Following a link to a page shows it to the user and tells the linking page nothing.
    return method != "GET" or headers.get(b"sec-fetch-mode") != b"navigate"


def _same_origin(origin: str, host: str) -> bool:
    scheme, separator, place = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and place.lower() == host.lower()


def _is_port(text: str) -> bool:
    return text.startswith(":") and (text[1:].isascii() and text[1:].isdigit())
