"""The demo's last part: an agent joins by token and certificate, and runs a container.

It needs a container engine on this machine. Where there is none, or it does not do what is asked, that is
said; the demo does not fail by it.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp

from stellwerk.cli.demonstration.engine import IMAGE, PROGRAM, NoEngine, bring_image, clear, find_engine
from stellwerk.cli.demonstration.processes import Child, ProcessDied, start
from stellwerk.cli.demonstration.view import View

AGENT = "demo-host"
CONTAINER = "stellwerk-demo"
LIMIT_S = 60.0
JOIN_S = 20.0


async def deploy_container(url: str, folder: Path, view: View) -> bool:
    """Run it; tell whether a container ran."""
    try:
        async with asyncio.timeout(LIMIT_S):
            host = await find_engine()
            await bring_image(host)
            try:
                await _deploy(url, folder, view, host)
            finally:
                await clear(host, CONTAINER)
    except (NoEngine, ProcessDied, aiohttp.ClientError, OSError) as reason:
        view.say(f"no container was run: {reason}")
        return False
    except TimeoutError:
        view.say(f"no container was run: the engine took longer than {LIMIT_S:g} s")
        return False
    return True


async def _deploy(url: str, folder: Path, view: View, host: str) -> None:
    tls = json.loads((folder / "ready.json").read_text())["listeners"]["tls"]
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(url))
        token = await _call(session, "POST", "/api/v1/admin/agent-tokens", {"name": AGENT})
        view.say(f"made a registration token for {AGENT}, good once (token {token['tokenId']})")
        agent = await start(
            AGENT,
            folder,
            *("agent", "run", "--server", tls, "--token", token["token"], "--ca-sha256", token["caSha256"]),
            *("--name", AGENT, "--data-dir", str(folder / AGENT), "--docker-host", host),
        )
        stack.push_async_callback(agent.stop)
        shown = await _joined(session, agent)
        serial = shown["certificates"][0]["serial"]
        view.say(f"{AGENT} joined (process {agent.pid}) with a certificate of its own, serial {serial[:12]}…")
        task = {
            "image": f"{IMAGE}:latest",
            "allowTags": True,
            "pull": "never",
            "name": CONTAINER,
            "command": [PROGRAM],
            "network": "none",
            "stopTimeout": 1,
            "healthcheck": {"settle": 1},
        }
        ran = await _run(session, "docker.run", task)
        view.say(f"{AGENT} runs container {ran['containerId'][:12]} from the image {ran['imageId'][7:19]}")
        ended = await _run(session, "docker.stop", {"name": CONTAINER})
        view.say(f"{AGENT} stopped it; exit code {ended['exitCode']}")
        await _call(session, "DELETE", f"/api/v1/agents/{AGENT}")
        async with asyncio.timeout(JOIN_S):
            await agent.process.wait()
        view.say(f"{AGENT} was revoked and ended by itself")


async def _joined(session: aiohttp.ClientSession, agent: Child) -> Any:
    """Wait until the agent is there and has found the engine."""
    async with asyncio.timeout(JOIN_S):
        while True:
            if not agent.alive:
                raise ProcessDied(f"the agent ended: {agent.last_words()}")
            async with session.get(f"/api/v1/agents/{AGENT}") as answer:
                shown = await answer.json()
                if answer.status == 200 and "docker" in (shown["detectedCapabilities"] or ()):
                    return shown
            await asyncio.sleep(0.05)


async def _run(session: aiohttp.ClientSession, task_type: str, payload: dict[str, Any]) -> Any:
    """Run a task on the agent to its end. Raises NoEngine when the engine does not do it."""
    task = {"agent": AGENT, "taskType": task_type, "payload": payload, "timeout": 30}
    done = await _call(session, "POST", "/api/v1/tasks?mode=sync&wait=40", task)
    if done["status"] != "succeeded":
        error = done.get("error") or {}
        raise NoEngine(f"{task_type} {done['status']}: {error.get('message', 'no reason given')}")
    return done["result"]


async def _call(session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Any:
    async with session.request(method, path, json=body) as answer:
        said = await answer.json()
        if answer.status >= 400:
            raise NoEngine(f"{method} {path}: {said['error']['message']}")
        return said
