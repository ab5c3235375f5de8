"""API servers that do not answer as they should."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml
from aiohttp import web


def kubeconfig(folder: Path, server: str) -> str:
    """Write a kubeconfig for a server without TLS."""
    document = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@asynccontextmanager
async def failing_server() -> AsyncIterator[str]:
    """Answer everything with 503, as a server does that starts or stops."""

    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=503, text="apiserver is shutting down", headers={"Retry-After": "1"})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", fail)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
