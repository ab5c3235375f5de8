"""Twenty investigations with a model at once: what the server's process takes at most.

python -m bench.model_memory
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.model_server import call, model_server

AT_ONCE = 20
ANSWER = {"summary": "nothing is wrong", "outcome": "healthy", "confidence": 0.9, "claims": []}
BODY = {
    "incident_id": "i",
    "remediation_id": "r",
    "signal_name": "bench",
    "severity": "low",
    "resource_namespace": "default",
    "resource_kind": "Deployment",
    "error_message": "",
    "signal_source": "",
    "environment": "",
    "priority": "",
    "risk_tolerance": "",
    "business_category": "",
    "cluster_name": "",
}


async def main() -> None:
    """Print the figure."""
    answer = call("submit_result", **ANSWER)
    with tempfile.TemporaryDirectory() as folder:
        async with model_server(answer, together=AT_ONCE) as model:
            await _measure(Path(folder), model.url)


async def _measure(folder: Path, endpoint: str) -> None:
    port = 18_080
    settings = {
        "server.port": port,
        "server.compat_ports": "false",
        "data_dir": folder,
        "llm.provider": "openai",
        "llm.model": "m",
        "llm.endpoint": endpoint,
    }
    flags = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from stellwerk.cli.main import run; run()",
        "serve",
        "--cluster",
        "sandbox",
        *flags,
        cwd=folder,
    )
    try:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}"
            before = await _ready(session, url, process.pid)
            ids = [await _submit(session, url, number) for number in range(AT_ONCE)]
            for one in ids:
                async with session.get(f"{url}/api/v1/incident/session/{one}/stream") as stream:
                    await stream.read()
            async with session.get(f"{url}/api/v1/incident/session/{ids[-1]}/result") as got:
                opinion = (await got.json())["model_opinion"]
            print(f"ready: {before} MiB; {AT_ONCE} at once: {_peak(process.pid)} MiB; last: {opinion}")
    finally:
        process.terminate()
        await process.wait()


async def _ready(session: aiohttp.ClientSession, url: str, pid: int) -> int:
    async with asyncio.timeout(120):
        while True:
            try:
                async with session.get(f"{url}/ready") as got:
                    if got.status == 200:
                        return _peak(pid)
            except aiohttp.ClientError:
                await asyncio.sleep(0.5)


async def _submit(session: aiohttp.ClientSession, url: str, number: int) -> str:
    body = {**BODY, "resource_name": f"web-{number}"}
    async with session.post(f"{url}/api/v1/incident/analyze", json=body) as got:
        return str((await got.json())["session_id"])


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    os.environ.pop("STELLWERK_CONFIG", None)
    asyncio.run(main())
