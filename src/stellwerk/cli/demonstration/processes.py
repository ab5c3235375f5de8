"""The demo's child processes.

They are started in sessions of their own, so that Ctrl-C reaches only the demo, and are always ended. Their
output goes to files in the demo's folder; when one dies unasked, the end of its file says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

_STELLWERK = [sys.executable, "-c", "from stellwerk.cli.main import run; run()"]
READY_S = 30.0
STOP_S = 10.0


class ProcessDied(Exception):
    """A child process ended before it should."""


@dataclass(slots=True)
class Child:
    """A child process and where it writes."""

    name: str
    process: asyncio.subprocess.Process
    output: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    def last_words(self) -> str:
        """Return the end of what it wrote."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-15:])

    async def kill(self) -> None:
        """End it without a chance to clean up."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        """Ask it to end, and make it."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), STOP_S)
            except TimeoutError:
                await self.kill()


async def start(name: str, folder: Path, *arguments: str) -> Child:
    """Start `stellwerk` with these arguments."""
    return await _start(name, folder, *_STELLWERK, *arguments)


async def start_module(name: str, folder: Path, module: str, *arguments: str) -> Child:
    """Start a module as a program."""
    return await _start(name, folder, sys.executable, "-m", module, *arguments)


async def _start(name: str, folder: Path, *command: str) -> Child:
    output = folder / f"{name}.log"
    with output.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd=folder,
        )
    return Child(name, process, output)


async def start_server(folder: Path, *options: str) -> tuple[Child, str]:
    """Start a control plane on free ports; return it and its address once it is ready. Raises ProcessDied.

    `options` are further ones of `stellwerk serve`.
    """
    ready = folder / "ready.json"
    server = await start(
        "server",
        folder,
        *("serve", "--host", "127.0.0.1", "--port", "0", "--tls-port", "0", "--no-compat-ports"),
        *("--data-dir", str(folder / "data"), "--ready-file", str(ready)),
        # A dead worker's tasks are given to others after this; a demo need not wait the usual 15 s.
        *("--set", "work.reconnect_grace_s=1"),
        *options,
    )
    try:
        async with asyncio.timeout(READY_S):
            while (url := _url(ready)) is None:
                if not server.alive:
                    raise ProcessDied(f"the control plane did not start:\n{server.last_words()}")
                await asyncio.sleep(0.02)
    except BaseException:
        await server.stop()
        raise
    return server, url


def _url(ready: Path) -> str | None:
    try:
        return str(json.loads(ready.read_text())["url"])
    except (OSError, ValueError):
        return None


async def start_worker(name: str, folder: Path, url: str, capabilities: tuple[str, ...]) -> Child:
    """Start a worker with the demo's functions."""
    able = [word for capability in capabilities for word in ("--capability", capability)]
    return await start(
        name,
        folder,
        *("worker", "stellwerk.cli.demonstration.work:app", "--server", url, "--agent-id", name, "--quiet"),
        *able,
    )
