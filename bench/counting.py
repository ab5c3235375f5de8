"""Stands between a server and its cluster and counts the requests: for what a figure says is not sent."""

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from stellwerk.release.clusters.kubernetes.access import Access

_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
START_S = 10.0


class CountingProxy:
    """A reverse proxy on a port of its own, in a thread of its own."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._port = 0
        self.counted: Counter[str] = Counter()
        """By method."""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> "CountingProxy":
        """Listen."""
        self._thread.start()
        if not self._started.wait(START_S):
            raise RuntimeError("the proxy does not start")
        return self

    def stop(self) -> None:
        """End; what is under way is cut off."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here."""
        named = {"cluster": "counted", "user": "counted"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "counted",
            "contexts": [{"name": "counted", "context": named}],
            "clusters": [{"name": "counted", "cluster": {"server": f"http://127.0.0.1:{self._port}"}}],
            "users": [{"name": "counted", "user": {}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())

    async def _listen(self) -> None:
        connector = aiohttp.TCPConnector(ssl=self._access.tls or False, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def _end(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        self.counted[request.method] += 1
        headers = {name: text for name, text in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        if value := await self._access.credentials.authorization():
            headers["Authorization"] = value
        more: dict[str, Any] = {"data": await request.read()} if request.can_read_body else {}
        url = self._access.server + request.raw_path
        async with self._session.request(
            request.method, url, headers=headers, timeout=None, **more
        ) as answer:
            kept = {name: text for name, text in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
