"""Client certificates that a proxy has verified and forwards in a header.

Believed of trusted addresses only, by the address that the connection itself comes from; from anybody else
the header is taken away before an application can see it. The application learns that a certificate was
forwarded, because it is worth less than one that was shown: the proxy proved it, not we.
"""

import base64
import binascii
import ipaddress
import ssl
import urllib.parse
from collections.abc import Awaitable, Iterable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from stellwerk.http.peer import Application, Tls

BYTES = 16_384
KNOWN = 4_096
"""Headers that need not be read again: the agents behind a proxy send the same with every request."""
PEM = "-----BEGIN CERTIFICATE-----"

Headers = Sequence[tuple[bytes, bytes]]


class Forwarding:
    """What is believed of proxies."""

    def __init__(self, trusted: Iterable[str], header: str | None) -> None:
        """`trusted` are networks; without a `header` nothing is believed of anybody."""
        self._networks = tuple(ipaddress.ip_network(network) for network in trusted)
        self._header = None if header is None else header.lower().encode("latin-1")

    def apply(self, application: Application, host: str, tls: Tls | None) -> Application:
        """Let the scopes of a connection from `host` tell what it forwards, or hide that it tries to."""
        header = self._header
        if header is None:
            return application
        trusted = self._trusts(host)

        def answer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> Awaitable[Any]:
            sent = [value for name, value in scope["headers"] if name == header]
            if sent:
                scope["headers"] = [pair for pair in scope["headers"] if pair[0] != header]
                if trusted and any(sent):
                    scope.setdefault("extensions", {})["tls"] = {**(tls or {}), **_forwarded(sent)}
            return application(scope, receive, send)

        return answer

    def _trusts(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _forwarded(sent: Sequence[bytes]) -> dict[str, Any]:
    # Two are one too many: nobody knows which of them the proxy has verified.
    certificate = read_certificate(sent[0]) if len(sent) == 1 else b""
    return {"client_cert_chain": [certificate], "forwarded": True}


@lru_cache(KNOWN)
def read_certificate(value: bytes) -> bytes:
    """Read a certificate as proxies write it, as DER; empty if it is none.

    RFC 9440 has base64 between colons, nginx a PEM text with percent escapes, others plain base64.
    """
    text = value.decode("latin-1").strip()
    try:
        if len(value) > BYTES:
            return b""
        if "%" in text or text.startswith(PEM):
            return ssl.PEM_cert_to_DER_cert(urllib.parse.unquote(text))
        if text.startswith(":") and text.endswith(":"):
            text = text[1:-1]
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
