"""The real agent with the real plane, and a proxy between them that ends TLS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stellwerk.agent.program import Agent
from stellwerk.agent.settings import AgentSettings
from stellwerk.settings import AccessSettings, Settings
from support.agent_lab import Scripted
from support.ending_proxy import ending_proxy
from support.plane import running_plane

BEHIND = Settings(access=AccessSettings(trusted_proxies=("127.0.0.1/32",), certificate_header="Client-Cert"))


@asynccontextmanager
async def agent_at(server: str, folder: Path, roots: Path, **more: Any) -> AsyncIterator[Scripted]:
    executor = Scripted()
    settings = AgentSettings(
        server=server, data_dir=folder, name="a", ca_file=roots, retry_first_s=0.05, retry_cap_s=0.5, **more
    )
    agent = Agent(settings, executors=dict.fromkeys(executor.task_types, executor))
    running = asyncio.create_task(agent.run())
    try:
        yield executor
    finally:
        agent.stop()
        await asyncio.wait_for(running, 10)


async def until(ask: Callable[[], Awaitable[Any]], true: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(15):
        while True:
            if true(found := await ask()):
                return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "heartbeats"])
async def test_agent_works_through_a_proxy_and_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], stream: bool
) -> None:
    data = tmp_path / "data"
    roots = data / "authority" / "servers" / "root-1.pem"
    async with running_plane(data, BEHIND) as plane:
        api = plane.main.with_key(capfd.readouterr().err.split()[-1])
        agent_roots = (data / "authority" / "agents" / "root-1.pem").read_text()
        target = urlsplit(plane.main.url).port or 0
        async with ending_proxy(target, data / "server.pem", agent_roots) as (proxy, url):
            token = (await api.post("/api/v1/admin/agent-tokens", {}))["token"]
            for given in ({"token": token}, {}):  # The second start has what the first has stored.
                async with agent_at(
                    url, tmp_path / "agent", roots, stream=stream, poll_s=0.1, **given
                ) as executor:
                    await until(partial(api.get, "/api/v1/agents?status=online"), bool)
                    asked = {"agent": "a", "taskType": "test.run", "payload": {"x": 1}}
                    path = f"/api/v1/tasks/{(await api.post('/api/v1/tasks', asked))['taskId']}"
                    done = await until(partial(api.get, path), lambda task: task["status"] == "succeeded")
                    assert done["result"] == {"ran": 1, "echo": {"x": 1}}
                    assert len(executor.jobs) == 1
            assert any(b"task-stream" in line for line in proxy.requests) is stream
