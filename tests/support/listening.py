"""Tiny interfaces behind a real gate on a real loopback listener, and raw access to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import msgspec
from litestar import Request, WebSocket, delete, get, post, websocket
from litestar.params import FromPath, FromQuery, JSONBody

from stellwerk.clock import SystemClock
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.http.access import LOOPBACK_NAMES, Access
from stellwerk.http.application import build_application
from stellwerk.http.audit import RefusalAudit
from stellwerk.http.auth import Authentication
from stellwerk.http.body import Bodies
from stellwerk.http.gate import Gate, Interface
from stellwerk.http.listener import Listener, Serving, bind
from stellwerk.http.problem import Problem, Rendered
from stellwerk.http.protocol import Connections
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


def tasks_interface(seen: Seen) -> Interface:
    """Build an interface with one route of every kind."""

    @post("/tasks", opt={"scope": Scope.TASKS_SUBMIT}, status_code=200)
    async def submit(data: JSONBody[Task], request: Request[Any, Any, Any]) -> dict[str, Any]:
        seen.tasks.append(data)
        seen.bodies.append(await request.body())
        return {"name": data.name, "principal": request.scope["state"]["principal"].id}

    @get("/tasks/{task_id:str}", opt={"scope": Scope.TASKS_READ})
    async def one(task_id: FromPath[str], wait_s: FromQuery[int] = 0) -> dict[str, Any]:
        if task_id == "broken":
            raise RuntimeError("a secret in a traceback")
        if task_id == "unavailable":
            raise DatabaseUnavailable("disk full", 7)
        if task_id == "foreign":
            raise Problem.conflict("It is not yours", "owned_by_another")
        if task_id == "slow":
            seen.entered.set()
            await seen.release.wait()
        return {"task": task_id, "wait_s": wait_s}

    @delete("/tasks/{task_id:str}", opt={"scope": Scope.TASKS_ADMIN}, status_code=200)
    async def remove(task_id: FromPath[str]) -> None:
        return None

    @get("/health", opt={"scope": None})
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @websocket("/tasks/ws", opt={"scope": Scope.TASKS_READ})
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        if socket.query_params.get("as") == "nobody":
            raise Problem.not_found("Agent not found")
        await socket.accept()
        await socket.send_text("welcome")
        try:
            while (message := await socket.receive())["type"] == "websocket.receive":
                await socket.send_text(message.get("text") or "")
            seen.closed.append(message["code"])
        finally:
            seen.socket_closed.set()

    handlers = [submit, one, remove, health, socket]
    application = build_application("tasks", handlers, tasks_shape, lambda: {"openapi": "3.1.0", "paths": {}})
    own = ("/tasks", "/v1/tasks", "/health", "/docs", "/openapi.json")
    return Interface(
        "tasks", application, tasks_shape, lambda path: max(len(p) * path.startswith(p) for p in own), _plain
    )


def _plain(path: str) -> str | None:
    return path[3:] if path.startswith("/v1/") else None


def other_interface() -> Interface:
    """Build a second interface whose paths begin with the first one's."""

    @get("/tasks/special/{name:str}", opt={"scope": Scope.EVENTS_READ})
    async def special(name: FromPath[str]) -> dict[str, str]:
        return {"special": name}

    application = build_application("other", [special], other_shape)
    return Interface("other", application, other_shape, lambda path: 14 * path.startswith("/tasks/special"))


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
    serving = Serving(limits, AccessSettings(), Connections(limits.connections), stop_timeout_s)
    listener = Listener("main", bind("127.0.0.1", 0), gate, serving, tls)
    await listener.start()
    async with aiohttp.ClientSession() as session:
        yield Listening(listener, seen, journal, session)
    await listener.stop()
    await audit.stop()


def with_limits(**changed: Any) -> LimitSettings:
    """Change some limits."""
    return replace(LimitSettings(), **changed)
