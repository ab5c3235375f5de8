"""An agent as a process of its own: `python node_process.py URL VERSION [idempotent] [promise] [pause=S]`.

It answers `greet` with its version, at once or by a report, registers, gives signs of life, and prints its
address. It counts its calls per execution id at `/seen`.
"""

import asyncio
import sys
import uuid
from collections import Counter
from typing import Any

import aiohttp
from aiohttp import web

BEAT_S = 0.5


async def main(url: str, version: str, words: list[str]) -> None:
    pause_s = next((float(word.partition("=")[2]) for word in words if word.startswith("pause=")), 0.0)
    instance, seen = uuid.uuid4().hex, Counter[str]()
    reports: set[asyncio.Task[Any]] = set()

    async def report(session: aiohttp.ClientSession, execution_id: str) -> None:
        await asyncio.sleep(pause_s)
        body = {"status": "succeeded", "result": version}
        to = f"{url}/api/v1/executions/{execution_id}/status"
        while True:
            try:
                async with session.post(to, json=body) as answer:
                    if answer.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)

    async def greet(request: web.Request) -> web.StreamResponse:
        execution_id = request.headers["X-Execution-ID"]
        seen[execution_id] += 1
        await request.read()
        if "promise" in words:
            task = asyncio.create_task(report(session, execution_id))
            reports.add(task)
            task.add_done_callback(reports.discard)
            return web.json_response({"status": "processing"}, status=202)
        await asyncio.sleep(pause_s)
        return web.json_response(version)

    async def show(_: web.Request) -> web.StreamResponse:
        return web.json_response(seen)

    async def status(_: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "running"})

    application = web.Application()
    application.router.add_post("/reasoners/greet", greet)
    application.router.add_get("/seen", show)
    application.router.add_get("/status", status)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    tags = ["idempotent"] if "idempotent" in words else []
    body = {
        "id": "hello",
        "base_url": address,
        "version": version,
        "instance_id": instance,
        "reasoners": [{"id": "greet", "tags": tags}],
        "skills": [],
    }
    beat = {"status": "ready", "version": version, "instance_id": instance}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/api/v1/nodes/register", json=body) as answer:
            assert answer.status < 300, await answer.text()
        told = False
        while True:
            try:
                async with session.post(f"{url}/api/v1/nodes/hello/heartbeat", json=beat) as answer:
                    await answer.read()
                if not told:
                    print(address, flush=True)
                    told = True
            except aiohttp.ClientError:
                pass  # The control plane is away; it will be back.
            await asyncio.sleep(BEAT_S)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
