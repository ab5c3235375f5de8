"""Tiny interfaces behind a real gate on a real loopback listener, and raw access to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import msgspec

from stellwerk.clock import SystemClock
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.http.access import LOOPBACK_NAMES, Access
from stellwerk.http.audit import RefusalAudit
from stellwerk.http.auth import Authentication, check_scope
from stellwerk.http.body import Bodies
from stellwerk.http.documentation import PAGES, documentation
from stellwerk.http.endpoint import Endpoint
from stellwerk.http.gate import Gate, Interface
from stellwerk.http.listener import Listener, Serving, bind
from stellwerk.http.operation import Answer, Call, Handle, Operation
from stellwerk.http.problem import Problem, Rendered, RenderProblem
from stellwerk.http.protocol import Connections
from stellwerk.http.router import Router
from stellwerk.http.tls import Tls
from stellwerk.journal.event import Event
from stellwerk.settings import AccessSettings, LimitSettings
from stellwerk.trust.keys import KeyRefused, Refusal
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

OPEN = Access("main", open=True, hosts=LOOPBACK_NAMES)
CLOSED = Access("main", open=False)
SUBMITTER = Principal("key:1", "submitter", frozenset({Scope.TASKS_SUBMIT}))
READER = Principal("key:2", "reader", frozenset({Scope.TASKS_READ}))
HOLDERS = {"submitter": SUBMITTER, "reader": READER}


class Task(msgspec.Struct):
    """What the tiny interface takes."""

    name: str
    data: Any = None
    size: int = 0


class Wait(msgspec.Struct):
    """The query of one of its routes."""

    wait_s: int = 0


class FakeKeys:
    """Knows two tokens by heart."""

    def authenticate(self, token: str) -> Principal | KeyRefused:
        return HOLDERS.get(token) or KeyRefused(Refusal.UNKNOWN)


class Journaled:
    """Collects audit events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.came = asyncio.Event()

    async def record(self, event: Event) -> None:
        self.events.append(event)
        self.came.set()


def tasks_shape(problem: Problem, request_id: str) -> Rendered:
    """Render errors as the tiny task interface does."""
    return _rendered(problem, {"detail": problem.detail, "code": problem.code})


def other_shape(problem: Problem, request_id: str) -> Rendered:
    """Render errors as the other interface does."""
    return _rendered(problem, {"error": {"text": problem.detail, "request": request_id}})


def _rendered(problem: Problem, body: Any) -> Rendered:
    more = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    return problem.status, [(b"content-type", b"application/json"), *more], json.dumps(body).encode()


class Seen:
    """What reached the handlers."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.bodies: list[bytes] = []
        self.closed: list[int] = []
        self.socket_closed = asyncio.Event()
        self.release = asyncio.Event()
        self.entered = asyncio.Event()


def operation(method: str, path: str, handle: Handle, scope: Scope | None, **more: Any) -> Operation:
    """Describe a route in as many words as a test needs."""
    return Operation(
        method=method, path=path, handle=handle, scope=scope, summary="", tag="", gives="", **more
    )


def routed(operations: Sequence[Operation], render: RenderProblem, sockets: Any = None) -> Router:
    """Route operations that refuse with Problems only."""
    return Router([Endpoint(one, render, lambda error: None) for one in operations], render, sockets)


def tasks_interface(seen: Seen) -> Interface:
    """Build an interface with one route of every kind."""

    async def submit(call: Call[Task, None]) -> Answer:
        seen.tasks.append(call.body)
        seen.bodies.append(call.raw)
        return msgspec.json.encode({"name": call.body.name, "principal": call.principal.id})

    async def one(call: Call[None, Wait]) -> Answer:
        task_id = call.path["task_id"]
        if task_id == "broken":
            raise RuntimeError("a secret in a traceback")
        if task_id == "unavailable":
            raise DatabaseUnavailable("disk full", 7)
        if task_id == "foreign":
            raise Problem.conflict("It is not yours", "owned_by_another")
        if task_id == "slow":
            seen.entered.set()
            await seen.release.wait()
        return msgspec.json.encode({"task": task_id, "wait_s": call.query.wait_s})

    async def remove(call: Call[None, None]) -> Answer:
        return b"null"

    async def health(call: Call[None, None]) -> Answer:
        return b'{"status":"healthy"}'

    operations = [
        operation("POST", "/tasks", submit, Scope.TASKS_SUBMIT, takes=Task),
        operation("GET", "/tasks/{task_id}", one, Scope.TASKS_READ, query=Wait),
        operation("DELETE", "/tasks/{task_id}", remove, Scope.TASKS_ADMIN),
        operation("GET", "/health", health, None),
        *documentation("Tasks", lambda: {"openapi": "3.1.0", "paths": {}}),
    ]
    own = ("/tasks", "/v1/tasks", "/health", "/docs", "/openapi.json")
    return Interface(
        "tasks",
        routed(operations, tasks_shape, echo(seen)),
        tasks_shape,
        lambda path: max(len(p) * path.startswith(p) for p in own),
        _plain,
        PAGES | {"/health"},
    )


def echo(seen: Seen) -> Any:
    """Make the WebSockets of the tiny interface: `/tasks/ws` welcomes and says everything again."""

    async def socket(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/tasks/ws":
            raise Problem.not_found()
        check_scope(Scope.TASKS_READ, scope["state"]["principal"])
        if scope["query_string"] == b"as=nobody":
            raise Problem.not_found("Agent not found")
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "welcome"})
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message.get("text") or ""})
            seen.closed.append(message["code"])
        finally:
            seen.socket_closed.set()

    return socket


def _plain(path: str) -> str | None:
    return path[3:] if path.startswith("/v1/") else None


def other_interface() -> Interface:
    """Build a second interface whose paths begin with the first one's; it has no WebSockets."""

    async def special(call: Call[None, None]) -> Answer:
        return msgspec.json.encode({"special": call.path["name"]})

    router = routed([operation("GET", "/tasks/special/{name}", special, Scope.EVENTS_READ)], other_shape)
    return Interface("other", router, other_shape, lambda path: 14 * path.startswith("/tasks/special"))


@dataclass(frozen=True, slots=True)
class Listening:
    """A listener that accepts connections."""

    listener: Listener
    seen: Seen
    journal: Journaled
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.listener.url

    async def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Send a request and read a JSON answer; `_` in header names stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("content-type", "application/json")
        async with self.session.request(method, self.url + path, data=body, headers=named) as answer:
            raw = await answer.read()
            sent = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, json.loads(raw) if raw else None, sent

    async def raw(self, sent: bytes) -> bytes:
        """Send bytes and read until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        writer.write(sent)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def listening(
    access: Access = OPEN,
    limits: LimitSettings | None = None,
    tls: Tls | None = None,
    interfaces: Sequence[Interface] = (),
    stop_timeout_s: float = 5.0,
) -> AsyncIterator[Listening]:
    """Serve the tiny interfaces on a free loopback port."""
    limits = limits or LimitSettings()
    seen, journal = Seen(), Journaled()
    audit = RefusalAudit(journal, SystemClock())
    await audit.start()
    gate = Gate(
        access,
        interfaces or [tasks_interface(seen), other_interface()],
        fallback=other_shape,
        authentication=Authentication(FakeKeys(), limits, SystemClock()),
        bodies=Bodies(limits),
        audit=audit,
    )
    serving = Serving(
        limits, AccessSettings(), Connections(limits.connections), stop_timeout_s, SystemClock()
    )
    listener = Listener("main", bind("127.0.0.1", 0), gate, serving, tls)
    await listener.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Listening(listener, seen, journal, session)
    finally:
        await listener.stop()
        await audit.stop()


def with_limits(**changed: Any) -> LimitSettings:
    """Change some limits."""
    return replace(LimitSettings(), **changed)
