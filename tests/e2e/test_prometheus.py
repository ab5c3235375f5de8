"""The questions against the real program: each is valid PromQL, and finds what exporters publish."""

import asyncio
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from stellwerk.inquiry.metrics.prometheus import MetricsUnavailable, Prometheus, Window
from stellwerk.inquiry.metrics.questions import questions
from stellwerk.inquiry.model import Measure, ObjectRef
from support.prometheus import serving

PROGRAM = shutil.which("prometheus")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="needs the program `prometheus`"),
]
LIMIT_S = 60.0
POD = ObjectRef("Pod", "shop", "web-7d.x-1")
WHERE = 'namespace="shop",pod="web-7d.x-1"'
CONFIG = """\
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: twin
    honor_labels: true
    static_configs: [{targets: ["%s"]}]
"""
EXPECTED: dict[Measure, float] = {
    "cpu_throttled": 0.5,
    "memory_bytes": 4096.0,
    "restarts": 3.0,
    "failed_share": 0.25,
}


def exposition(seconds: float) -> str:
    """What cAdvisor, kube-state-metrics and a server would tell after some seconds."""
    return (
        "\n".join(
            f"{name}{{{WHERE},{more}}} {value}"
            for name, more, value in (
                ("container_cpu_cfs_periods_total", 'container="main"', 10 * seconds),
                ("container_cpu_cfs_throttled_periods_total", 'container="main"', 5 * seconds),
                ("container_cpu_cfs_periods_total", 'container=""', 10 * seconds),
                ("container_cpu_cfs_throttled_periods_total", 'container=""', 10 * seconds),
                ("container_memory_working_set_bytes", 'container="main"', 4096),
                ("kube_pod_container_status_restarts_total", 'container="main"', 3),
                ("http_requests_total", 'code="200",path="/a"', 15 * seconds),
                ("http_requests_total", 'code="503",path="/a"', 5 * seconds),
            )
        )
        + "\n"
    )


@asynccontextmanager
async def exporter() -> AsyncIterator[str]:
    """Serve figures that grow."""
    began = time.monotonic()

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=exposition(time.monotonic() - began))

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    async with serving(application) as url:
        yield url.removeprefix("http://")


@asynccontextmanager
async def running(folder: Path, target: str) -> AsyncIterator[str]:
    """Run the program on a free port, with its data in a folder of the test's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "prometheus.yml"
    config.write_text(CONFIG % target)
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=sys.stderr,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def measured(prometheus: Prometheus, query: str) -> float | None:
    """Ask for the last minute; None while there is no series yet."""
    now = int(time.time())
    try:
        found = await prometheus.ask(query, Window(now - 60, now, 1), 5.0)
    except MetricsUnavailable as error:
        if "cannot be reached" in str(error) or "503" in str(error):
            return None
        raise
    values = [float(value) for one in found for _, value in one.values[-1:]]
    assert len(values) <= 1
    return values[0] if values else None


async def test_every_question_finds_what_exporters_publish(tmp_path: Path):
    asked = questions([POD, ObjectRef("Pod", "shop", "other"), ObjectRef("Pod", "shop", 'bad"} or up')])
    found: dict[Measure, float] = {}
    async with exporter() as target, running(tmp_path, target) as url:
        prometheus = Prometheus(url)
        async with asyncio.timeout(LIMIT_S):
            while found.keys() != asked.keys():
                await asyncio.sleep(0.2)  # the program scrapes every second and tells nobody
                for measure in asked.keys() - found.keys():
                    if (value := await measured(prometheus, asked[measure])) is not None:
                        found[measure] = value
        await prometheus.close()

    assert found == pytest.approx(EXPECTED, rel=0.01)
