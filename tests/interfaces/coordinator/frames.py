"""The agent's end of the WebSocket, for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from support.plane import Caller

WAIT_S = 10.0


@dataclass(slots=True)
class Agent:
    """One connected agent; frames that were not asked for yet are kept."""

    socket: aiohttp.ClientWebSocketResponse
    kept: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, *frames: dict[str, Any]) -> None:
        """Send frames; several go as an array."""
        await self.socket.send_bytes(msgspec.json.encode(frames[0] if len(frames) == 1 else frames))

    async def expect(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return the first frame of a type with these values, seen already or still to come."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for frame in self.kept:
                    if frame["type"] == kind and fields.items() <= frame.items():
                        self.kept.remove(frame)
                        return frame
                await self._take()

    async def closed(self) -> int | None:
        """Return the code with which the server closes."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return self.socket.close_code
                self._keep(message.data)

    async def _take(self) -> None:
        message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.kept)
        self._keep(message.data)

    def _keep(self, text: str) -> None:
        frames = msgspec.json.decode(text)
        self.kept += frames if isinstance(frames, list) else [frames]


@asynccontextmanager
async def connected(api: Caller, agent_id: str = "a1", query: str = "") -> AsyncIterator[Agent]:
    """Connect a registered agent."""
    async with api.socket(f"/agents/{agent_id}/ws{query}") as socket:
        agent = Agent(socket)
        await agent.expect("welcome")
        yield agent


async def register(api: Caller, agent_id: str = "a1", **fields: Any) -> None:
    """Register a worker."""
    await api.post("/agents/register", {"agent_id": agent_id, "agent_type": "worker", **fields})


async def submit(api: Caller, **fields: Any) -> str:
    """Submit a task and return its id."""
    answer = await api.post("/tasks/submit", {"task_data": {"task_type": "t"}, **fields})
    return str(answer["task_id"])


async def state(api: Caller, task_id: str) -> str:
    """Return the state of a task."""
    return str((await api.get(f"/tasks/{task_id}"))["task"]["state"])


async def finished(api: Caller, task_id: str) -> dict[str, Any]:
    """Wait for the end of a task and return its outcome."""
    outcome: dict[str, Any] = await api.get(f"/tasks/{task_id}/result?wait_s=10")
    assert outcome["finished"], outcome
    return outcome


async def happened(api: Caller, task_id: str, kind: str) -> None:
    """Wait until an event of the task is in the journal."""
    page = await api.get(f"/events?task={task_id}&kind={kind}")
    if page["events"]:
        return
    query = {"task": task_id, "kind": kind, "after": page["next"]}
    async with (
        asyncio.timeout(WAIT_S),
        api.session.get(f"{api.url}/events/stream", params=query, headers=api.headers) as stream,
    ):
        async for line in stream.content:
            if line.startswith(b"data:"):
                return
