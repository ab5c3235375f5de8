"""The observers' WebSocket."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from stellwerk.interfaces.coordinator import observer_socket
from support.plane import Caller, Plane, running_plane

from .frames import register, submit


async def first(socket: aiohttp.ClientWebSocketResponse, **fields: Any) -> dict[str, Any]:
    """Return the first message with these values."""
    async with asyncio.timeout(10):
        while True:
            message: dict[str, Any] = msgspec.json.decode((await socket.receive_str()).encode())
            if fields.items() <= message.items():
                return message


@pytest.mark.parametrize("path", ["/ws", "/registry/ws", "/ws?topics=agents,tasks,balancer"])
async def test_observer_sees_agents_tasks_and_balancing(
    api: Caller, path: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(observer_socket, "BALANCER_S", 0.05)
    async with api.socket(path) as socket:
        metrics = await first(socket, type="balancer_metrics")
        assert metrics["stats"]["strategy"] == "least_connections"
        await register(api)
        joined = await first(socket, type="agent_status", event="agent.registered")
        assert (joined["agent_id"], joined["status"], joined["health_score"]) == ("a1", "active", 1.0)
        task_id = await submit(api)
        assert (await first(socket, type="task_event", event="task.submitted"))["task_id"] == task_id
        await api.post("/tasks/claim", {"agent_id": "a1"})
        await first(socket, type="task_event", event="task.leased", task_id=task_id, agent_id="a1")
        await api.put("/agents/a1/status", {"status": "busy"})
        await first(socket, type="agent_status", agent_id="a1", status="busy")
        await api.delete("/agents/a1")
        assert (await first(socket, event="agent.removed"))["status"] is None


async def test_topics_choose_what_is_seen(api: Caller):
    async with api.socket("/ws?topics=tasks") as socket:
        await register(api)
        task_id = await submit(api)
        message = msgspec.json.decode(await socket.receive_str(timeout=10))
        assert (message["type"], message["task_id"]) == ("task_event", task_id)


async def test_observer_is_refused_before_it_is_accepted(plane: Plane):
    for caller, query, status in (
        (plane.main, "?topics=weather", 422),
        (await plane.key("metrics:read"), "", 403),
        (await plane.key("fleet:read"), "?topics=tasks", 403),
        (plane.main.with_key("nonsense"), "", 401),
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with caller.socket(f"/ws{query}"):
                pass
        assert refused.value.status == status
    reader = await plane.key("fleet:read")
    async with reader.socket("/ws?topics=agents"):
        pass


async def test_stopping_server_closes_observers_with_1012(tmp_path: Path):
    async with running_plane(tmp_path / "data") as plane, plane.main.socket("/ws") as socket:
        await first(socket, type="balancer_metrics")
        stopping = asyncio.create_task(plane.control.stop())
        async with asyncio.timeout(10):
            while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert socket.close_code == 1012
        await stopping
