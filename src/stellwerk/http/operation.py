"""Operations: one table says what an interface answers. Routing, authorisation, decoding and OpenAPI follow
from it.

An operation's `handle` is given a `Call` with everything already parsed, awaits one use case and returns
what to send. It knows no framework.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

Body = TypeVar("Body")
Query = TypeVar("Query")

JSON = "application/json"


class Call(Generic[Body, Query]):
    """One request to an operation."""

    __slots__ = ("body", "headers", "path", "principal", "query", "raw", "receive", "request_id")

    def __init__(  # noqa: PLR0917 - made once a request, in one place
        self,
        principal: Principal,
        request_id: str,
        path: Mapping[str, str],
        headers: list[tuple[bytes, bytes]],
        raw: bytes,
        body: Body,
        query: Query,
        receive: Callable[[], Awaitable[Any]],
    ) -> None:
        self.principal = principal
        self.request_id = request_id
        self.path = path
        self.headers = headers
        self.raw = raw
        self.body = body
        self.query = query
        self.receive = receive
        """For use cases that wait: tells when the caller leaves."""

    def header(self, name: bytes) -> str | None:
        """Find the first header of a name (lower case)."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None


@dataclass(frozen=True, slots=True)
class Streaming:
    """An answer without an end; the iterator is closed when the caller leaves."""

    chunks: AsyncGenerator[bytes, None]
    media_type: str


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is not the operation's JSON with its usual status."""

    body: bytes
    media_type: str = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


Answer = bytes | msgspec.Struct | Raw | Streaming
"""Encoded JSON, a value to encode, or something special."""

Check = Callable[[Principal, Mapping[str, str]], object]
"""Raises a Problem unless the caller may do this with what the path's parameters name."""

Handle = Callable[[Call[Any, Any]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One route: what it takes and gives, who may call it, and how it is described."""

    method: str
    path: str
    """Segments in braces are parameters: `/agents/{agent_id}`."""
    handle: Handle
    scope: Scope | None
    """None is public, unless there is a check."""
    summary: str
    tag: str
    gives: Any
    """Type of the answer, for the description; a media type's name for what is no JSON."""
    status: int = 200
    takes: type | None = None
    """Type of the JSON body; None takes no body and ignores one."""
    body_required: bool = True
    query: type[msgspec.Struct] | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    """Request headers that matter, with their schemas."""
    path_schemas: Mapping[str, Any] = field(default_factory=dict)
    """Schemas of the path's parameters; any text where there is none."""
    refuses: tuple[int, ...] = ()
    """Statuses beside those that every operation of this form can answer."""
    also: Mapping[int, type] = field(default_factory=dict)
    """Answers that are no refusals, by status, with their types."""
    description: str = ""
    failure: str = "Internal server error"
    """Prefix of the detail of a 500; the request id follows."""
    unavailable: str | None = None
    """Detail of a 503 while the database cannot answer; None says what is wrong with the database."""
    check: "Check | None" = None
    """Authorises instead of the scope, for callers that may also, or only, show a certificate."""
    capability: str | None = None
    """What a connector's token must allow, where the check looks at one; for the description."""
    identifier: str = ""
    """Its `operationId`, where generated clients know it by a published one; empty makes one."""
    misses: bool = True
    """Whether an operation with a parameter in its path can answer 404."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))
