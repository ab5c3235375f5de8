"""HTTP push: the envelope, what answers mean, and endpoints that are not there."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from support.plane import Caller

from .frames import finished, happened, register, state, submit

WAIT_S = 10.0
Answering = Callable[[dict[str, Any]], Awaitable[web.Response]]


@dataclass(slots=True)
class Endpoint:
    """An agent that is pushed to."""

    answer: Answering
    got: list[dict[str, Any]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def execute(self, request: web.Request) -> web.Response:
        envelope = await request.json()
        self.got.append(envelope)
        self.arrived.set()
        return await self.answer(envelope)

    async def first(self) -> dict[str, Any]:
        """Return the first envelope."""
        async with asyncio.timeout(WAIT_S):
            await self.arrived.wait()
        return self.got[0]


@asynccontextmanager
async def endpoint(answer: Answering, port: int = 0) -> AsyncIterator[Endpoint]:
    """Serve an agent's endpoint."""
    made = Endpoint(answer)
    application = web.Application()
    application.router.add_post("/tasks/execute", made.execute)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def doubled(envelope: dict[str, Any]) -> web.Response:
    return web.json_response({"result": {"doubled": 2 * envelope["payload"]["task_data"]["n"]}})


async def accepted(envelope: dict[str, Any]) -> web.Response:
    return web.json_response({"status": "accepted"}, status=202)


async def broken(envelope: dict[str, Any]) -> web.Response:
    return web.Response(status=500)


async def push_to(api: Caller, url: str, **fields: Any) -> None:
    await register(api, endpoints={"http": url}, metadata={"delivery": "push"}, **fields)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_answered_result_completes_the_task(api: Caller):
    async with endpoint(doubled) as agent:
        await push_to(api, agent.url)
        task_id = await submit(api, task_data={"task_type": "double", "n": 21}, priority="High")
        outcome = await finished(api, task_id)
        assert (outcome["state"], outcome["result"]) == ("succeeded", {"doubled": 42})
        envelope = await agent.first()
    payload = envelope.pop("payload")
    assert {key: payload[key] for key in ("task_id", "task_type", "task_data", "priority", "attempt")} == {
        "task_id": task_id,
        "task_type": "double",
        "task_data": {"task_type": "double", "n": 21},
        "priority": "High",
        "attempt": 1,
    }
    assert {key: envelope[key] for key in ("sender_id", "receiver_id", "message_type", "ttl")} == {
        "sender_id": "task_distributor",
        "receiver_id": "a1",
        "message_type": "task_assignment",
        "ttl": 300,
    }


async def test_accepted_task_is_completed_over_the_api(api: Caller):
    async with endpoint(accepted) as agent:
        await push_to(api, agent.url)
        task_id = await submit(api)
        lease = (await agent.first())["payload"]["lease"]
        assert await state(api, task_id) == "running"
        await api.post(f"/tasks/{task_id}/complete", {"agent_id": "a1", "lease": lease, "result": 7})
        assert (await finished(api, task_id))["result"] == 7


async def test_error_status_fails_the_attempt(api: Caller):
    async with endpoint(broken) as agent:
        await push_to(api, agent.url)
        task_id = await submit(api, max_attempts=1)
        outcome = await finished(api, task_id)
        assert (outcome["state"], outcome["error"]) == ("dead", "The agent answered 500")


async def test_refused_dial_is_no_attempt(api: Caller):
    port = free_port()
    await push_to(api, f"http://127.0.0.1:{port}")
    task_id = await submit(api, max_attempts=1, repeatable=False)
    await happened(api, task_id, "task.requeued")
    async with endpoint(doubled_or_none, port) as agent:
        await agent.first()
        assert (await finished(api, task_id))["state"] == "succeeded"
        assert (await api.get(f"/tasks/{task_id}"))["task"]["attempt"] == 1


async def doubled_or_none(envelope: dict[str, Any]) -> web.Response:
    return web.json_response({"result": None})


async def test_forbidden_address_fails_the_task_at_once(api: Caller):
    await push_to(api, "http://169.254.169.254/latest")
    task_id = await submit(api)
    outcome = await finished(api, task_id)
    assert outcome["state"] == "failed"
    assert "outbound.allowed_networks" in outcome["error"]
