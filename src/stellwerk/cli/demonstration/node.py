"""An agent whose functions are called through the control plane, as a process: `python -m … SERVER VERSION`.

It speaks the published protocol by itself: registers, gives signs of life, answers, and says when it leaves.
Agents with the published SDK do the same.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from typing import Any

import aiohttp
from aiohttp import web

AGENT = "signaller"
FUNCTION = "clear"
HEARTBEAT_S = 1.0


class Node:
    """One process of one version."""

    def __init__(self, server: str, version: str) -> None:
        self._api = f"{server}/api/v1/nodes"
        self._version = version
        self._instance = uuid.uuid4().hex

    async def run(self) -> None:
        """Serve until SIGTERM."""
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        runner = await self._listen()
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            await self._register(session, runner.addresses[0][1])
            while not stopping.is_set():
                await self._say(session, f"{AGENT}/heartbeat", {"status": "ready"})
                try:
                    await asyncio.wait_for(stopping.wait(), HEARTBEAT_S)
                except TimeoutError:
                    continue
            # First nothing new is asked of it, then it stops to listen.
            await self._say(session, f"{AGENT}/shutdown", {"reason": "signal"})
        await runner.cleanup()

    async def _listen(self) -> web.AppRunner:
        application = web.Application()
        application.router.add_post(f"/reasoners/{FUNCTION}", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        given = await request.json()
        await asyncio.sleep(0.002)
        return web.json_response({"train": given.get("train"), "cleared_by": self._version})

    async def _register(self, session: aiohttp.ClientSession, port: int) -> None:
        functions = [{"id": FUNCTION, "tags": ["idempotent"]}]
        body = {"id": AGENT, "base_url": f"http://127.0.0.1:{port}", "reasoners": functions, "skills": []}
        await self._say(session, "register", body)

    async def _say(self, session: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> None:
        said = {**body, "version": self._version, "instance_id": self._instance}
        async with session.post(f"{self._api}/{path}", json=said):
            return


if __name__ == "__main__":
    asyncio.run(Node(*sys.argv[1:3]).run())
