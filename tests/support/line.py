"""A control plane reduced to its wire, to force the faults that a real one shows too rarely.

It registers any agent, accepts WebSockets, and does nothing by itself: a test assigns tasks, reads what the
worker sends, answers or keeps silent, and cuts the connection. Only for faults of the protocol; everything
else is tested against the real server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import WSMsgType, web

LIMIT_S = 15.0
JSON = dict[str, Any]


class Line:
    """One worker's connections, as the control plane sees them."""

    def __init__(self) -> None:
        self.registered: list[JSON] = []
        self.removed: list[str] = []
        self.instances: list[str | None] = []
        """Those that connected, in their order."""
        self.claimed: list[JSON] = []
        self.connections = 0
        self.goodbyes = 0
        self.posts: asyncio.Queue[tuple[str, JSON]] = asyncio.Queue()
        self.claims: asyncio.Queue[list[JSON]] = asyncio.Queue()
        self.url = ""
        self.refuse_with: int | None = None
        """Status that handshakes are refused with; None lets them through."""
        self.known = True
        self.settles = True
        """Whether outcomes are answered with `task_settled` by themselves."""
        self.largest_batch = 0
        self._socket: web.WebSocketResponse | None = None
        self._frames: asyncio.Queue[JSON] = asyncio.Queue()
        self._connected = asyncio.Event()

    async def _register(self, request: web.Request) -> web.Response:
        self.registered.append(await request.json())
        self.known = True
        return web.json_response({"status": "success"})

    async def _remove(self, request: web.Request) -> web.Response:
        self.removed.append(request.match_info["agent"])
        return web.json_response({"status": "success"})

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.json()
        verb = request.match_info["verb"]
        self.posts.put_nowait((verb, body | {"task_id": request.match_info["task"]}))
        state = "running" if verb in ("acknowledge", "progress", "logs") else "succeeded"
        return web.json_response({"status": "success", "state": state})

    async def _claim(self, request: web.Request) -> web.Response:
        self.claimed.append(await request.json())
        tasks = await self.claims.get()
        return web.json_response({"status": "success", "tasks": tasks, "count": len(tasks)})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "success"})

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if self.refuse_with is not None or not self.known:
            return web.Response(status=self.refuse_with or 404)
        socket = web.WebSocketResponse(max_msg_size=4 * 1024 * 1024)
        await socket.prepare(request)
        self.connections += 1
        self.instances.append(request.query.get("instance_id"))
        self._socket = socket
        await self.send({"type": "welcome", "heartbeat_interval_s": 30})
        self._connected.set()
        async for message in socket:
            assert message.type is WSMsgType.TEXT
            got = json.loads(message.data)
            frames = got if isinstance(got, list) else [got]
            self.largest_batch = max(self.largest_batch, len(frames))
            for frame in frames:
                await self._take(frame)
        return socket

    async def _take(self, frame: JSON) -> None:
        if frame["type"] == "heartbeat":
            return
        if frame["type"] == "goodbye":
            self.goodbyes += 1
            return
        self._frames.put_nowait(frame)
        if self.settles and frame["type"] in ("complete", "fail", "release", "cancelled"):
            await self.settle(frame)

    async def send(self, *frames: JSON) -> None:
        """Send frames as one message."""
        assert self._socket is not None
        await self._socket.send_str(json.dumps(frames[0] if len(frames) == 1 else list(frames)))

    async def assign(self, task_id: str, lease: int = 1, **fields: Any) -> None:
        """Assign one task to the worker."""
        await self.send(assignment(task_id, lease, **fields))

    async def settle(self, frame: JSON) -> None:
        """Say that an outcome is durable."""
        if self._socket is not None and not self._socket.closed:
            settled = {"task_id": frame["task_id"], "lease": frame["lease"], "state": "succeeded"}
            await self.send({"type": "task_settled", "duplicate": False} | settled)

    async def next(self, kind: str) -> JSON:
        """Return the worker's next frame, which must be of that kind."""
        frame = await asyncio.wait_for(self._frames.get(), LIMIT_S)
        assert frame["type"] == kind, frame
        return frame

    async def any(self) -> JSON:
        """Return the worker's next frame."""
        return await asyncio.wait_for(self._frames.get(), LIMIT_S)

    def nothing_more(self) -> bool:
        """Return whether every frame of the worker has been read."""
        return self._frames.empty()

    async def connected(self) -> None:
        """Wait for the next connection and read its `hello`."""
        await asyncio.wait_for(self._connected.wait(), LIMIT_S)
        self._connected.clear()

    async def cut(self) -> None:
        """Break the connection without a closing handshake, as a dead machine does."""
        assert self._socket is not None
        transport = self._socket._req.transport if self._socket._req else None
        self._socket = None
        if transport is not None:
            transport.abort()

    async def close(self, code: int) -> None:
        """Close the connection with a code."""
        assert self._socket is not None
        await self._socket.close(code=code)


def assignment(task_id: str, lease: int = 1, **fields: Any) -> JSON:
    """Render an assignment."""
    frame: JSON = {
        "type": "task_assigned",
        "task_id": task_id,
        "lease": lease,
        "attempt": 1,
        "task_type": "work",
        "task_data": {"task_type": "work"},
        "requirements": {},
        "priority": "normal",
        "repeatable": True,
        "submitted_at": "2026-11-21T21:43:43.666595+00:00",
        "deadline": None,
        "timeout_s": None,
        "lease_expires_at": "2026-11-21T21:45:13.666595+00:00",
    }
    return frame | fields


@asynccontextmanager
async def open_line() -> AsyncIterator[Line]:
    """Serve a line on a free port."""
    line = Line()
    application = web.Application()
    application.router.add_post("/agents/register", line._register)
    application.router.add_get("/agents/{agent}/ws", line._websocket)
    application.router.add_post("/agents/{agent}/heartbeat", line._heartbeat)
    application.router.add_delete("/agents/{agent}", line._remove)
    application.router.add_post("/tasks/claim", line._claim)
    application.router.add_post("/tasks/{task}/{verb}", line._post)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    line.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield line
    finally:
        await runner.cleanup()
