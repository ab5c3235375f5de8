"""An agent within the test's own loop, against a twin, with an executor that does what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stellwerk.agent.executors.executor import Cancelled, Failed, Job, Report, Result
from stellwerk.agent.program import Agent
from stellwerk.agent.settings import AgentSettings
from support.agent_twin import Twin


class Scripted:
    """Counts what it is asked to do; `test.wait` ends when `release` is set, `test.fail` fails."""

    task_types = ("test.run", "test.wait", "test.fail", "test.once")
    capability = "test"

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.adopted: list[Job] = []
        self.release = asyncio.Event()
        self.begun = asyncio.Event()
        self.adoption: Result | Failed | None = None
        self.logs: list[str] = []
        self.fault: str | None = None

    async def ready(self) -> str | None:
        return self.fault

    def check(self, task_type: str, payload: Mapping[str, Any]) -> list[str]:
        return ["bad is not a parameter"] if "bad" in payload else []

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        self.jobs.append(job)
        self.begun.set()
        for line in self.logs:
            report.log("info", line)
        report.progress(50, "half")
        if job.task_type == "test.fail":
            raise Failed("test.failed", "as told", retriable=True)
        if job.task_type in ("test.wait", "test.once"):
            await _either(self.release, cancelled)
            if cancelled.is_set():
                raise Cancelled("cancelled")
        report.progress(100)
        return {"ran": len(self.jobs), "echo": dict(job.payload)}

    async def adopt(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result | None:
        self.adopted.append(job)
        if isinstance(self.adoption, Failed):
            raise self.adoption
        return self.adoption


async def _either(first: asyncio.Event, second: asyncio.Event) -> None:
    waits = [asyncio.ensure_future(event.wait()) for event in (first, second)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def settings_for(twin: Twin, folder: Path, **changed: Any) -> AgentSettings:
    """Settings that suit a test: short pauses."""
    values: dict[str, Any] = {
        "server": twin.url,
        "data_dir": folder,
        "name": "agent-prod-01",
        "version": "1.0.0",
        "token": "reg_good",
        "ca_sha256": (twin.servers.sha256,),
        "drain_s": 5.0,
        "retry_first_s": 0.05,
        "retry_cap_s": 0.2,
        "rejoin_pause_s": 0.1,
    }
    return AgentSettings(**values | changed)


class Running:
    """An agent that runs, and ways to end it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.task = asyncio.ensure_future(agent.run())

    async def kill(self) -> None:
        """End it without any farewell; what is on disk is what a killed process leaves."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        self.agent.stop()
        async with asyncio.timeout(10):
            await self.task


@asynccontextmanager
async def running(
    settings: AgentSettings, executor: Scripted | None = None, **parts: Any
) -> AsyncIterator[Running]:
    """Run an agent; it is stopped at the end unless it has ended."""
    scripted = executor or Scripted()
    executors = dict.fromkeys(scripted.task_types, scripted)
    run = Running(Agent(settings, executors=executors, **parts))
    try:
        yield run
    finally:
        if not run.task.done():
            await run.kill()
        elif not run.task.cancelled():
            run.task.exception()
