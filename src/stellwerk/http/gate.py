"""The gate: the ASGI application of one listener, whose checks every request passes first.

Order of the checks, each cheaper or more telling than what it stands before: the path finds the interface,
whose error shape every refusal has from there on; `Host`; foreign pages; CORS preflight; authentication;
the caller's rate; the body. WebSockets pass the same checks before they are accepted and are refused with
an HTTP answer. The gate is plain ASGI, because every request pays for it.
"""

import asyncio
import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from stellwerk.http import cors
from stellwerk.http.access import Access, host_name, is_foreign
from stellwerk.http.audit import RefusalAudit, Refused
from stellwerk.http.auth import Authentication
from stellwerk.http.body import JSON, Bodies, ClientLeft, Receive, replay
from stellwerk.http.exchange import Exchange, Headers, Scope, Send, WebSocketExchange
from stellwerk.http.problem import Problem, RenderProblem
from stellwerk.trust.principal import ANONYMOUS, Principal

AsgiApplication = Callable[..., Awaitable[Any]]

OWNED_BY_ANOTHER = "owned_by_another"
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
NOSNIFF = (b"x-content-type-options", b"nosniff")
# A request that has one of these twice is read differently by different programs on its way.
SINGLE = (
    b"host",
    b"origin",
    b"authorization",
    b"x-api-key",
    b"x-connector-token",
    b"content-type",
    b"content-length",
    b"transfer-encoding",
    b"sec-fetch-site",
)
KNOWN_HOSTS = 1_000
KNOWN_PATHS = 10_000
"""Paths whose interface is remembered: those of a fleet's agents."""
LONG_PATH = 200

log = structlog.get_logger(__name__)


Recognise = Callable[[Scope, dict[bytes, bytes]], Awaitable[Principal | None]]
"""From a request and its headers to its caller; None leaves the caller to the gate. Raises Problem."""


def everything(path: str) -> int:
    """Own every path: for a listener with one interface."""
    return 1


@dataclass(frozen=True, slots=True)
class Interface:
    """One published interface as the gate sees it."""

    name: str
    application: AsgiApplication
    render_problem: RenderProblem
    owns: Callable[[str], int] = everything
    """Length of the prefix that makes a path its own, 0 if it is not (a bool will do). The longest wins."""
    rewrite: Callable[[str], str | None] | None = None
    """The plain path of an alias (`/v1/agents/x` → `/agents/x`), None to keep it. Asked for owned paths."""
    public: frozenset[str] = frozenset()
    """Plain paths that need no credentials on a closed listener either."""
    recognise: "Recognise | None" = None
    """Names callers that prove themselves otherwise than by an API key, with a certificate say."""
    body_bytes: Callable[[str], int | None] | None = None
    """Largest body for a path, where it is not the setting's (None)."""


class Gate:
    """The application of one listener."""

    def __init__(
        self,
        access: Access,
        interfaces: Sequence[Interface],
        *,
        fallback: RenderProblem,
        authentication: Authentication,
        bodies: Bodies,
        audit: RefusalAudit | None = None,
    ) -> None:
        self._access = access
        self._interfaces = interfaces
        self._fallback = fallback
        self._authentication = authentication
        self._bodies = bodies
        self._audit = audit
        self._known_hosts: set[bytes] = set()
        self._owners: dict[str, Interface | None] = {}
        self._id_prefix = secrets.token_hex(4)
        self._ids = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or serve one WebSocket."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._connect(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        extra = self._identify_request(scope, headers)
        interface = self._interface_of(scope["path"])
        render = self._fallback if interface is None else interface.render_problem
        exchange = Exchange(scope, send, render, extra=extra, note=self._note)
        try:
            if cors.is_preflight(scope["method"], headers):
                self._check_page(scope, headers)
                await exchange.respond(204, cors.preflight_headers(headers), b"")
                return
            application = await self._admit(interface, scope, headers)
            body = await self._bodies.read(headers, receive, _longest_body(interface, scope["path"]))
            if body and headers.get(b"content-type") != JSON:
                scope["headers"] = _as_json(scope["headers"])
            receive = replay(body, receive, scope["state"].get("draining"))
            await application(scope, receive, exchange.send)
            if _is_draining(scope):
                await exchange.finish()  # A stream was told to end.
        except Problem as problem:
            await exchange.refuse(problem)
        except ClientLeft:
            return
        except asyncio.CancelledError:
            if not _is_draining(scope):
                raise
            # The limit of a graceful stop is reached; who waits shall know that it may come back.
            await exchange.refuse(Problem.unavailable("The server stops", 1))
        except Exception:
            request_id = scope["state"]["request_id"]
            log.exception("request failed", request_id=request_id, path=scope["path"])
            await exchange.refuse(Problem.internal(request_id))

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        self._identify_request(scope, headers)
        interface = self._interface_of(scope["path"])
        render = self._fallback if interface is None else interface.render_problem
        exchange = WebSocketExchange(scope, receive, send, render=render, note=self._note)
        try:
            application = await self._admit(interface, scope, headers)
            await application(scope, exchange.receive, exchange.send)
        except Problem as problem:
            await exchange.refuse(problem)
        except ClientLeft:
            return
        except Exception:
            request_id = scope["state"]["request_id"]
            log.exception("request failed", request_id=request_id, path=scope["path"])
            await exchange.refuse(Problem.internal(request_id))

    def _identify_request(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers:
        """Give the request its id, and name the headers that its answer has beside the interface's."""
        state = scope.setdefault("state", {})
        given = headers.get(b"x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            request_id = given.decode()
        else:
            request_id = f"{self._id_prefix}-{next(self._ids):x}"
        state["request_id"] = request_id
        state["principal"] = ANONYMOUS
        extra = [NOSNIFF, (b"x-request-id", request_id.encode())]
        if self._access.origins:
            origin = headers.get(b"origin")
            if origin is not None and origin.decode("latin-1") in self._access.origins:
                extra += cors.allow_headers(origin)
        return extra

    def _interface_of(self, path: str) -> Interface | None:
        if path in self._owners:
            return self._owners[path]
        best, longest = None, 0
        for interface in self._interfaces:
            length = interface.owns(path)
            if length > longest:
                best, longest = interface, length
        if len(self._owners) < KNOWN_PATHS and len(path) < LONG_PATH:
            self._owners[path] = best
        return best

    async def _admit(
        self, interface: Interface | None, scope: Scope, headers: dict[bytes, bytes]
    ) -> AsgiApplication:
        """Pass the checks that need no body; raise a Problem for the first that fails."""
        self._check_page(scope, headers)
        if interface is None:
            raise Problem.not_found()
        if interface.rewrite is not None:
            scope["path"] = interface.rewrite(scope["path"]) or scope["path"]
        peer = _peer(scope)
        principal = None if interface.recognise is None else await interface.recognise(scope, headers)
        if principal is None:
            principal = self._authentication.identify(headers, peer, self._access.open)
        if principal is ANONYMOUS and scope["path"] not in interface.public:
            raise Problem.unauthenticated("Send an API key: Authorization: Bearer …, or X-API-Key")
        scope["state"]["principal"] = principal
        self._authentication.throttle(principal, peer)
        return interface.application

    def _check_page(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse what no honest client sends: doubled headers, foreign hosts, foreign pages."""
        if len(headers) != len(scope["headers"]):
            _check_single(scope["headers"])
        hosts = self._access.hosts
        if hosts is not None and headers.get(b"host") not in self._known_hosts:
            self._check_host(headers.get(b"host", b""), hosts)
        if (b"origin" in headers or b"sec-fetch-site" in headers) and is_foreign(
            headers, scope.get("method", "websocket"), self._access.origins
        ):
            raise Problem.forbidden("Requests of foreign web pages are refused", "foreign_origin")

    def _check_host(self, header: bytes, hosts: frozenset[str]) -> None:
        if host_name(header.decode("latin-1")) not in hosts:
            detail = "This listener is not known under the name in Host; the setting server.names adds names"
            raise Problem.forbidden(detail, "foreign_host")
        if len(self._known_hosts) < KNOWN_HOSTS:
            self._known_hosts.add(header)

    def _note(self, scope: Scope, status: int) -> None:
        """Put a refusal into the journal; other errors are no refusals."""
        state = scope["state"]
        problem: Problem | None = state.get("problem")
        owned = problem is not None and problem.code == OWNED_BY_ANOTHER
        if self._audit is None or not (status in (401, 403, 429) or owned):
            return
        principal = state["principal"]
        interface = self._interface_of(scope["path"])
        refused = Refused(
            listener=self._access.listener,
            status=status,
            code="refused" if problem is None else problem.code,
            method=scope.get("method", "websocket"),
            path=scope["path"],
            peer=_peer(scope),
            principal=None if principal is ANONYMOUS else principal.id,
            request_id=state["request_id"],
            interface="" if interface is None else interface.name,
        )
        self._audit.note(refused)


def _longest_body(interface: Interface | None, path: str) -> int | None:
    return None if interface is None or interface.body_bytes is None else interface.body_bytes(path)


def _is_draining(scope: Scope) -> bool:
    draining = scope["state"].get("draining")
    return draining is not None and draining.is_set()


def _check_single(headers: Headers) -> None:
    names = [name for name, _ in headers]
    doubled = [name.decode() for name in SINGLE if names.count(name) > 1]
    if doubled:
        raise Problem(400, "bad_request", f"The header {doubled[0]} stands twice in the request")


def _as_json(headers: Headers) -> Headers:
    return [*(pair for pair in headers if pair[0] != b"content-type"), (b"content-type", JSON)]


def _peer(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""
