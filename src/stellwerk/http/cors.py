"""CORS (the Fetch standard's part of it), for the origins that the settings name; off without any."""

Headers = list[tuple[bytes, bytes]]

METHODS = b"GET, POST, PUT, PATCH, DELETE"
EXPOSED = b"x-request-id, retry-after"
CACHED_S = b"600"


def is_preflight(method: str, headers: dict[bytes, bytes]) -> bool:
    """Tell whether a browser asks beforehand. Such a request carries no credentials."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def allow_headers(origin: bytes) -> Headers:
    """Let a page of an allowed origin read the answer. Cookies are not used, so credentials are not
    allowed."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"origin"),
    ]


def preflight_headers(headers: dict[bytes, bytes]) -> Headers:
    """Answer a preflight of an allowed origin (beside `allow_headers`)."""
    wanted = headers.get(b"access-control-request-headers", b"authorization, content-type")
    return [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", wanted),
        (b"access-control-max-age", CACHED_S),
    ]
