"""The certificate that the other side of a connection has shown, put where an application finds it.

`scope["extensions"]["tls"]` is ASGI's TLS extension, with two differences: certificates are DER (bytes), and
`connected_at` says when the connection began.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Application = Callable[[Any, Any, Any], Awaitable[Any]]
Tls = MutableMapping[str, Any]


def shown_on(transport: asyncio.BaseTransport, now_us: int) -> Tls | None:
    """Return what is known of the other side; None on a connection without TLS."""
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    # There is one only if a trusted root vouches for it and the peer has its key.
    certificate = connection.getpeercert(True)
    return {"client_cert_chain": [certificate] if certificate else [], "connected_at": now_us}


def with_peer(application: Application, tls: Tls | None) -> Application:
    """Let every scope of a connection tell of the other side."""
    if tls is None:
        return application

    # No coroutine of its own: every request passes here.
    def answer(scope: MutableMapping[str, Any], receive: Any, send: Any) -> Awaitable[Any]:
        scope.setdefault("extensions", {})["tls"] = tls
        return application(scope, receive, send)

    return answer
