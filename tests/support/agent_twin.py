"""A small twin of the control plane's interface for deployment agents, with faults that can be switched on.

It speaks the wire over real TLS with client certificates: registration that burns a token and can be repeated
with the same key, renewal by heartbeat with activation at first use, leases with fencing numbers, a
task-stream. It keeps nothing and decides little; what the real plane does is proved with the real plane.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.agent_authority import TestAuthority, key_hash, server_context

DAY_S = 86_400.0


@dataclass
class TwinTask:
    """A task as the twin knows it."""

    task_id: str
    body: dict[str, Any]
    state: str = "pending"
    attempt: int = 0
    lease: int = 0
    accepted: int = 0
    completions: list[dict[str, Any]] = field(default_factory=list)
    """Every one that came, also those whose answer was lost."""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def wire(self) -> dict[str, Any]:
        return {**self.body, "taskId": self.task_id, "attempt": self.attempt, "lease": self.lease}


@dataclass
class Issued:
    """A certificate that the twin signed."""

    agent_id: str
    key_hash: str
    pem: str
    not_before: float
    not_after: float
    used: bool = False
    superseded: bool = False


class Twin:
    """The state, and the switches of the faults."""

    def __init__(self) -> None:
        self.servers = TestAuthority("servers")
        self.agents_ca = TestAuthority("agents")
        self.url = ""
        self.tokens: dict[str, tuple[str, str] | None] = {"reg_good": None}
        self.names: dict[str, str] = {}
        self.revoked: set[str] = set()
        self.issued: dict[int, Issued] = {}
        self.tasks: dict[str, TwinTask] = {}
        self.heartbeats: list[dict[str, Any]] = []
        self.frames: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.registrations: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {"heartbeatInterval": 0.2, "taskPollInterval": 0.1}
        self.life_s = DAY_S
        self.offset_s = 0.0
        """The twin's clock minus the machine's."""
        self.extra_roots = ""
        """What a stranger in between would add to the bundle."""
        self.streams = True
        self.lose: dict[str, int] = {}
        """Answers to lose, by verb (register, heartbeat, ack, complete): it was done, nobody hears."""
        self.refuse: dict[str, tuple[int, str]] = {}
        """Requests to refuse, by verb: status and code."""
        self.mute: set[str] = set()
        """Messages of the stream to hold back: task_started, task_recorded."""
        self.before_answer: dict[str, Callable[[], Awaitable[None]]] = {}
        self._fence = 0
        self._changed = asyncio.Condition()

    def now(self) -> float:
        return time.time() + self.offset_s

    async def changed(self) -> None:
        """Wake who waits in `until`."""
        async with self._changed:
            self._changed.notify_all()

    async def until(self, condition: Callable[[], Any], limit_s: float = 10.0) -> Any:
        """Wait until something has become true of the twin."""
        async with asyncio.timeout(limit_s), self._changed:
            return await self._changed.wait_for(condition)

    async def submit(self, task_type: str = "test.run", **body: Any) -> TwinTask:
        """Queue a task; it is handed over at once where a stream stands."""
        defaults = {"payload": {}, "credentials": {}, "timeout": 30, "priority": 10, "idempotent": False}
        task = TwinTask(str(uuid.uuid4()), {**defaults, "taskType": task_type, **body})
        self.tasks[task.task_id] = task
        await self.hand_out()
        return task

    async def hand_out(self) -> None:
        """Lease what waits to the stream."""
        if self.sockets:
            for task in self._lease():
                await self._send({"type": "task_assigned", "task": task.wire()})

    async def redeliver(self, task: TwinTask, *, attempt: bool) -> None:
        """Hand a task over again, as the same or as the next attempt."""
        if attempt:
            task.attempt += 1
            task.lease = self._next_fence()
        await self._send({"type": "task_assigned", "task": task.wire()})

    async def cancel(self, task: TwinTask) -> None:
        await self._send({"type": "task_cancelled", "taskId": task.task_id})

    async def cut(self) -> None:
        """Break the streams without a close frame."""
        for socket in list(self.sockets):
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()
        await self.until(lambda: not self.sockets)

    async def revoke(self, agent_id: str) -> None:
        """Send an agent away and close its streams."""
        self.revoked.add(agent_id)
        for socket in list(self.sockets):
            await socket.close(code=4403)

    def frames_of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    # --- the wire

    def routes(self) -> list[web.RouteDef]:
        one = "/api/v1/agents/{agent}"
        return [
            web.get("/api/v1/agents/ca", self._roots),
            web.post("/api/v1/agents/register", self._answering("register", self._register)),
            web.post("/api/v1/agents/token", self._answering("token", self._token)),
            web.post(f"{one}/heartbeat", self._answering("heartbeat", self._heartbeat)),
            web.get(f"{one}/task-stream", self._stream),
            web.post(f"{one}/tasks/{{task}}/ack", self._answering("ack", self._ack)),
            web.post(f"{one}/tasks/{{task}}/complete", self._answering("complete", self._complete)),
            web.post(f"{one}/tasks/{{task}}/release", self._answering("release", self._release)),
        ]

    def _answering(
        self, verb: str, handle: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.requests.append(verb)
            if verb in self.refuse:
                await self.changed()
                return fault(*self.refuse[verb])
            if verb != "register":
                known = self._identify(request)
                if not isinstance(known, Issued):
                    await self.changed()
                    return known
            response = await handle(request)
            if verb in self.before_answer:
                await self.before_answer[verb]()
            await self.changed()
            if self.lose.get(verb, 0) > 0:
                self.lose[verb] -= 1
                if request.transport is not None:
                    request.transport.abort()
            response.headers["Date"] = formatdate(self.now(), usegmt=True)
            return response

        return answer

    def _identify(self, request: web.Request) -> Issued | web.Response:
        tls = request.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls else None
        if der is None:
            return fault(401, "agent.certificate.required")
        issued = self.issued.get(x509.load_der_x509_certificate(der).serial_number)
        if issued is None:
            return fault(401, "agent.unknown")
        if issued.agent_id in self.revoked:
            return fault(403, "agent.revoked")
        if issued.superseded:
            return fault(401, "agent.certificate.superseded")
        if self.now() > issued.not_after:
            return fault(401, "agent.certificate.expired")
        if issued.agent_id != request.match_info.get("agent", issued.agent_id):
            return fault(403, "agent.mismatch")
        if not issued.used:
            issued.used = True
            for other in self.issued.values():
                if other.agent_id == issued.agent_id and other is not issued and other.used:
                    other.superseded = True
        return issued

    async def _roots(self, request: web.Request) -> web.Response:
        return web.json_response({"ca": self.extra_roots + self.servers.pem, "sha256": [self.servers.sha256]})

    async def _register(self, request: web.Request) -> web.Response:
        token = request.headers.get("x-agent-token", "")
        body = await request.json()
        csr = x509.load_pem_x509_csr(body["csr"].encode())
        key: Any = csr.public_key()
        used = self.tokens.get(token, ("", ""))
        if used is not None and (not used[0] or used[1] != key_hash(key)):
            return fault(401, "registration_token.used" if used[0] else "registration_token.invalid")
        agent_id = used[0] if used else str(uuid.uuid4())
        self.tokens[token] = (agent_id, key_hash(key))
        self.names[agent_id] = body["name"]
        self.registrations.append(body)
        issued = self._issue(agent_id, key)
        answer = {
            "agentId": agent_id,
            "token": "jwt",
            "config": {**self.config, "certificateRenewAfter": self.life_s * 2 / 3},
            "certificate": {"cert": issued.pem, "ca": self.servers.pem, "expiresAt": "soon"},
        }
        return web.json_response(answer, status=201)

    def _issue(self, agent_id: str, key: Any) -> Issued:
        for issued in self.issued.values():
            if issued.agent_id == agent_id and issued.key_hash == key_hash(key) and not issued.used:
                return issued
        since = datetime.datetime.fromtimestamp(int(self.now()) - 1, datetime.UTC)
        signed = self.agents_ca.sign_agent(agent_id, key, since, self.life_s)
        pem = signed.public_bytes(Encoding.PEM).decode()
        begins = since.timestamp()
        made = Issued(agent_id, key_hash(key), pem, begins, begins + self.life_s)
        self.issued[signed.serial_number] = made
        return made

    async def _token(self, request: web.Request) -> web.Response:
        return web.json_response({"token": "jwt", "expiresIn": 3600})

    async def _heartbeat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.heartbeats.append(body)
        answer: dict[str, Any] = {"tasks": []}
        known = self._identify(request)
        assert isinstance(known, Issued)
        if "csr" in body:
            key: Any = x509.load_pem_x509_csr(body["csr"].encode()).public_key()
            if self.now() >= known.not_before + self.life_s * 2 / 3:
                renewed = self._issue(known.agent_id, key)
                answer["certificateRenewal"] = {"cert": renewed.pem, "expiresAt": "soon"}
        if not self.sockets:
            answer["tasks"] = [task.wire() for task in self._lease()]
        return web.json_response(answer)

    def _lease(self) -> list[TwinTask]:
        leased = [task for task in self.tasks.values() if task.state == "pending"]
        for task in leased:
            task.state, task.attempt, task.lease = "assigned", task.attempt + 1, self._next_fence()
        return leased

    def _next_fence(self) -> int:
        self._fence += 1
        return self._fence

    async def _ack(self, request: web.Request) -> web.Response:
        task = self.tasks.get(request.match_info["task"])
        if task is None:
            return fault(404, "task.not_found")
        body = await request.json()
        return web.json_response({"acknowledged": True}) if self._start(task, body["lease"]) else LOST()

    def _start(self, task: TwinTask, lease: int) -> bool:
        if lease != task.lease or task.state == "done":
            return False
        task.state, task.accepted = "running", task.accepted + 1
        return True

    async def _complete(self, request: web.Request) -> web.Response:
        return self._finish(request.match_info["task"], await request.json())

    def _finish(self, task_id: str, body: dict[str, Any]) -> web.Response:
        task = self.tasks.get(task_id)
        if task is None:
            return fault(404, "task.not_found")
        task.completions.append(body)
        if task.state != "done" and body.get("lease", task.lease) != task.lease:
            return LOST()
        task.state = "done"
        task.done.set()
        return web.json_response({"acknowledged": True, "duplicate": len(task.completions) > 1})

    async def _release(self, request: web.Request) -> web.Response:
        task = self.tasks[request.match_info["task"]]
        body = await request.json()
        if body["lease"] != task.lease:
            return LOST()
        task.state = "pending"
        await self.hand_out()
        return web.json_response({"acknowledged": True})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        known = self._identify(request)
        if not isinstance(known, Issued):
            return known
        if not self.streams:
            return fault(503, "streams.off")
        socket = web.WebSocketResponse(protocols=("agent.v1",), heartbeat=20.0)
        await socket.prepare(request)
        self.sockets.append(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._hear(json.loads(message.data))
        finally:
            self.sockets.remove(socket)
            await self.changed()
        return socket

    async def _hear(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        task = self.tasks.get(frame.get("taskId", ""))
        match frame["type"]:
            case "hello":
                await self.hand_out()
            case "task_accepted" if task is not None:
                started = self._start(task, frame["lease"])
                await self._confirm("task_started" if started else "error", task, frame)
            case "task_completed" if task is not None:
                recorded = self._finish(task.task_id, frame).status == 200
                await self._confirm("task_recorded" if recorded else "error", task, frame)
        await self.changed()

    async def _confirm(self, kind: str, task: TwinTask, frame: dict[str, Any]) -> None:
        if kind not in self.mute:
            code = {"code": "task.lease_lost", "message": "lost"} if kind == "error" else {}
            await self._send({"type": kind, "taskId": task.task_id, "lease": frame["lease"], **code})

    async def _send(self, frame: dict[str, Any]) -> None:
        for socket in self.sockets[-1:]:
            # In an array now and then, as the wire allows.
            await socket.send_json([frame] if frame["type"] == "task_assigned" else frame)


def fault(status: int, code: str) -> web.Response:
    """Answer an error as the interface words it."""
    body = {"error": {"code": code, "message": code, "details": {}}, "requestId": "r"}
    return web.json_response(body, status=status)


def LOST() -> web.Response:
    return fault(409, "task.lease_lost")


@asynccontextmanager
async def twin_plane(folder: Path, port: int = 0) -> AsyncIterator[Twin]:
    """Serve a twin on a loopback port."""
    twin = Twin()
    async with serving(twin, folder, port):
        yield twin


@asynccontextmanager
async def serving(twin: Twin, folder: Path, port: int = 0) -> AsyncIterator[None]:
    """Serve this twin, also again on the same port."""
    application = web.Application()
    application.add_routes(twin.routes())
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    twin.servers.write_server(folder / "server.pem")
    site = web.TCPSite(
        runner, "127.0.0.1", port, ssl_context=server_context(folder / "server.pem", twin.agents_ca)
    )
    await site.start()
    bound = runner.addresses[0][1]
    twin.url = f"https://127.0.0.1:{bound}"
    try:
        yield
    finally:
        await runner.cleanup()
