"""One HTTP request after the other, for tests that talk to processes without an event loop."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, Any, Mapping[str, str]]


def talk(
    url: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send a request; return status, decoded body, headers (lower case)."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=100)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, dict(headers or {}))
        got = connection.getresponse()
        raw = got.read()
        return got.status, json.loads(raw) if raw else None, {k.lower(): v for k, v in got.getheaders()}
    finally:
        connection.close()
