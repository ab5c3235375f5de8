"""A server that speaks the part of Prometheus' API that is asked for, and says what a test wants."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answers = Callable[[web.Request], web.Response]


@dataclass
class FakePrometheus:
    """What it was asked, and where it listens."""

    url: str = ""
    asked: list[Mapping[str, str]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)


def matrix(*series: tuple[Mapping[str, str], list[tuple[float, str]]]) -> web.Response:
    """An answer of the API."""
    result = [{"metric": dict(metric), "values": values} for metric, values in series]
    return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})


@asynccontextmanager
async def fake_prometheus(answer: Answers) -> AsyncIterator[FakePrometheus]:
    """Serve on a free loopback port."""
    fake = FakePrometheus()

    async def handle(request: web.Request) -> web.Response:
        fake.asked.append(dict(request.query))
        fake.tokens.append(request.headers.get("Authorization", ""))
        return answer(request)

    application = web.Application()
    application.router.add_get("/api/v1/query_range", handle)
    async with serving(application) as url:
        fake.url = url
        yield fake


@asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free loopback port."""
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address: Any = runner.addresses[0]
    try:
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        await runner.cleanup()
