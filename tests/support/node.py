"""An agent reduced to its wire: it registers, gives signs of life when told, answers as a test wants."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from support.plane import Answer, Caller

Handle = Callable[["Node", web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Node:
    """One process of an agent. `handle` answers `/reasoners/{name}`."""

    api: Caller
    id: str = "hello"
    version: str = "1.0.0"
    functions: tuple[str, ...] = ("greet",)
    tags: tuple[str, ...] = ()
    handle: Handle | None = None
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    port: int = 0
    calls: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    arrived: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    """Ids of the executions that were called."""
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an execution is to be stopped."""
    dialled: list[str] = field(default_factory=list)
    """Paths of every request."""
    _runner: web.AppRunner | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def listen(self) -> Node:
        """Begin to answer."""
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/reasoners/{name}", self._call)
        application.router.add_post("/skills/{name}", self._call)
        application.router.add_post("/_internal/executions/{id}/cancel", self._cancel)
        application.router.add_get("/status", self._status)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def close(self) -> None:
        """Be gone: connections are refused from now on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        for task in self._tasks:
            task.cancel()

    def body(self, **more: Any) -> dict[str, Any]:
        """Make a registration as the published SDK sends it."""
        functions = [
            {"id": name, "tags": list(self.tags), "input_schema": {"type": "object"}}
            for name in self.functions
        ]
        return {
            "id": self.id,
            "team_id": "default",
            "base_url": self.url,
            "version": self.version,
            "reasoners": functions,
            "skills": [{"id": "upper", "tags": [], "input_schema": {"type": "object"}}],
            "proposed_tags": [],
            "instance_id": self.instance,
            "lifecycle_status": "starting",
            "communication_config": {"protocols": ["http"], "heartbeat_interval": "2s"},
            "health_status": "healthy",
            "metadata": {"deployment": {"platform": "python"}, "custom": {}},
            **more,
        }

    async def register(self, **more: Any) -> Answer:
        return await self.api.call("POST", "/api/v1/nodes/register", self.body(**more))

    async def beat(self, status: str = "ready", **more: Any) -> Answer:
        said = {"status": status, "version": self.version, "instance_id": self.instance, **more}
        return await self.api.call("POST", f"/api/v1/nodes/{self.id}/heartbeat", said)

    async def join(self) -> Node:
        """Listen, register, be ready."""
        await self.listen()
        assert (await self.register()).status == 201
        assert (await self.beat()).status == 200
        return self

    async def report(self, execution_id: str, **said: Any) -> Answer:
        """Report on an execution as the SDK does."""
        return await self.api.call("POST", f"/api/v1/executions/{execution_id}/status", said)

    def later(self, work: Awaitable[Any]) -> None:
        """Do something behind an answer."""
        self._tasks.add(asyncio.ensure_future(work))

    async def _call(self, request: web.Request) -> web.StreamResponse:
        given = await request.json()
        self.dialled.append(request.path)
        self.calls.append((request.match_info["name"], given, dict(request.headers)))
        self.arrived.put_nowait(request.headers["X-Execution-ID"])
        if self.handle is not None:
            return await self.handle(self, request, given)
        if request.path.startswith("/skills/"):
            return web.json_response(str(given.get("name", "")).upper())
        return web.json_response({"hello": given.get("name"), "version": self.version})

    async def _cancel(self, request: web.Request) -> web.Response:
        self.dialled.append(request.path)
        self.stop_asked.set()
        return web.json_response({"cancelled": True, "execution_id": request.match_info["id"]})

    async def _status(self, request: web.Request) -> web.Response:
        self.dialled.append(request.path)
        return web.json_response({"status": "running", "version": self.version, "node_id": self.id})


@asynccontextmanager
async def joined(*nodes: Node) -> AsyncIterator[None]:
    """Let nodes join, one after the other; they leave no connection behind."""
    try:
        for node in nodes:
            await node.join()
        yield
    finally:
        for node in nodes:
            await node.close()


@asynccontextmanager
async def beating(*nodes: Node) -> AsyncIterator[None]:
    """Let nodes join and give signs of life, as agents do: a test may take longer than they may be silent."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(2)
            for node in nodes:
                await node.beat()

    async with joined(*nodes):
        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def promise(node: Node, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
    """Answer 202 and report the result afterwards, as a reasoner of the SDK does."""
    execution_id = request.headers["X-Execution-ID"]
    result = {"hello": given.get("name"), "version": node.version}
    node.later(node.report(execution_id, status="succeeded", result=result, duration_ms=1))
    return web.json_response({"status": "processing", "execution_id": execution_id}, status=202)


async def early(node: Node, request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
    """Report the result before the 202 is answered."""
    execution_id = request.headers["X-Execution-ID"]
    await node.report(execution_id, status="succeeded", result={"hello": given.get("name")}, duration_ms=1)
    return web.json_response({"status": "processing", "execution_id": execution_id}, status=202)


async def raw_post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    """POST exactly these bytes."""
    async with ClientSession() as session, session.post(url, data=body, headers=headers) as got:
        return got.status, await got.read()
