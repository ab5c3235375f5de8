"""Problems: refusals and failures on their way to an interface's own error shape."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Problem(Exception):
    """A request that is not answered with success; each interface renders it in its own shape.

    `code` is a stable word for programs (`lease_lost`), `detail` a sentence for people. `headers` go out
    with the answer, `fields` are further values that an interface may show. Handlers and the gate raise it.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] = NOTHING,
        fields: Mapping[str, Any] = NOTHING,
    ) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers
        self.fields = fields

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"

    @classmethod
    def invalid(cls, detail: str, code: str = "invalid") -> "Problem":
        """Refuse values that do not fit (422)."""
        return cls(422, code, detail)

    @classmethod
    def unauthenticated(cls, detail: str) -> "Problem":
        """Ask for credentials (401)."""
        return cls(401, "unauthenticated", detail, {"www-authenticate": 'Bearer realm="stellwerk"'})

    @classmethod
    def forbidden(cls, detail: str, code: str = "forbidden") -> "Problem":
        """Refuse a caller who is known (403)."""
        return cls(403, code, detail)

    @classmethod
    def not_found(cls, detail: str = "Not found", code: str = "not_found") -> "Problem":
        """Say that there is no such thing or route (404)."""
        return cls(404, code, detail)

    @classmethod
    def conflict(cls, detail: str, code: str = "conflict") -> "Problem":
        """Refuse what contradicts the present state (409)."""
        return cls(409, code, detail)

    @classmethod
    def too_large(cls, limit_bytes: int) -> "Problem":
        """Refuse a body over the limit (413)."""
        return cls(413, "too_large", f"The request body is larger than {limit_bytes} bytes")

    @classmethod
    def unsupported_media_type(cls, media_type: str) -> "Problem":
        """Refuse a body that is not JSON (415)."""
        return cls(415, "unsupported_media_type", f"Send application/json, not {media_type[:100]!r}")

    @classmethod
    def too_many(cls, detail: str, retry_after_s: float) -> "Problem":
        """Slow a caller down (429)."""
        return cls(429, "too_many_requests", detail, {"retry-after": whole_seconds(retry_after_s)})

    @classmethod
    def unavailable(cls, detail: str, retry_after_s: float) -> "Problem":
        """Say that it will work again by itself (503)."""
        return cls(503, "unavailable", detail, {"retry-after": whole_seconds(retry_after_s)})

    @classmethod
    def internal(cls, request_id: str, prefix: str = "Internal server error") -> "Problem":
        """Hide an unexpected failure behind the request id that the log has (500)."""
        return cls(500, "internal", f"{prefix}: {request_id}", fields={"request_id": request_id})


def whole_seconds(seconds: float) -> str:
    """Round up to whole seconds for `Retry-After`, at least 1."""
    return str(max(1, -int(-seconds // 1)))


Rendered = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers in ASGI form (with content-type, without content-length), body."""

RenderProblem = Callable[[Problem, str], Rendered]
"""(problem, request id) to the interface's own error answer, with `problem.headers` among its headers."""
