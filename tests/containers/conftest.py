"""Fixtures over a real container engine: the executors, and a test's own container names."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from stellwerk.agent.executors import available
from stellwerk.agent.executors.engine import Engine, open_engine
from stellwerk.agent.executors.executor import Executor, Job, Result
from stellwerk.agent.executors.settings import ExecutorSettings
from support.container_lab import Lab, NoEngine
from support.site import Said, Site

AGENT = "agent-prod-01"
CREDENTIALS = (
    "--secret",
    "registry.username=registry.user",
    "--secret",
    "registry.password=registry.password",
)


@dataclass
class Recorder:
    """A report that keeps what it is told."""

    steps: list[tuple[int, str]] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    awaited: dict[str, asyncio.Event] = field(default_factory=dict)

    def progress(self, percent: int, message: str = "") -> None:
        self.steps.append((percent, message))

    def log(self, level: str, message: str) -> None:
        self.lines.append((level, message))
        for text, event in self.awaited.items():
            if text in message:
                event.set()

    async def said(self, text: str) -> None:
        """Wait until a line says so."""
        if not any(text in line for _, line in self.lines):
            await self.awaited.setdefault(text, asyncio.Event()).wait()


@dataclass
class Deck:
    """Runs tasks on the lab's engine, as the agent would."""

    lab: Lab
    settings: ExecutorSettings
    engine: Engine
    mark: str
    executors: dict[str, Executor]
    report: Recorder = field(default_factory=Recorder)

    def name(self, label: str = "web") -> str:
        """A container name of this test's own; all of them are removed after it."""
        return f"{self.mark}-{label}"

    def job(self, task_type: str, payload: dict[str, Any], **more: Any) -> Job:
        """A task with the right credentials, unless others are given."""
        more = {"task_id": f"{self.mark}-{uuid.uuid4().hex[:6]}", "credentials": self.lab.credentials, **more}
        return Job(attempt=1, task_type=task_type, payload=payload, **({"timeout_s": 60.0} | more))

    async def run(self, job: Job, cancelled: asyncio.Event | None = None) -> Result:
        """Run a task."""
        return await self.executors[job.task_type].run(job, self.report, cancelled or asyncio.Event())

    async def adopt(self, job: Job) -> Result | None:
        """Carry a task on as an agent does after its restart: with executors that know nothing of it."""
        executor = available(self.settings)[job.task_type]
        return await executor.adopt(job, self.report, asyncio.Event())

    async def start(self, task_type: str, payload: dict[str, Any], **more: Any) -> Result:
        """Run a task of which only the result matters."""
        return await self.run(self.job(task_type, payload, **more))

    async def states(self) -> dict[str, str]:
        """This test's containers: status by name."""
        listed = await self.engine.get("/containers/json", all=True)
        names = {one["Names"][0].removeprefix("/"): str(one["State"]) for one in listed}
        return {name: state for name, state in names.items() if name.startswith(self.mark)}


@pytest.fixture
async def deck(lab: Lab, tmp_path: Path) -> AsyncIterator[Deck]:
    """An agent's executors on the real engine."""
    settings = ExecutorSettings(data_dir=tmp_path, docker_host=lab.docker_host)
    mark = f"t{uuid.uuid4().hex[:8]}"
    async with open_engine(lab.docker_host) as engine:
        yield Deck(lab, settings, engine, mark, available(settings))
        for one in await engine.get("/containers/json", all=True):
            if one["Names"][0].removeprefix("/").startswith(mark):
                await engine.delete(f"/containers/{one['Id']}", force=True, v=True)
        for network in await engine.get("/networks"):
            if network["Name"].startswith(mark):
                await engine.delete(f"/networks/{network['Name']}")


@pytest.fixture(scope="module")
def site(lab_or_reason: Lab | NoEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with the registry's credentials as secrets, and an agent on the lab's engine."""
    if isinstance(lab_or_reason, NoEngine):
        pytest.skip(f"no container engine: {lab_or_reason}")
    lab = lab_or_reason
    site = Site.start(tmp_path_factory.mktemp("site"))
    try:
        site.good("secret", "set", "registry.user", value=lab.user)
        site.good("secret", "set", "registry.password", value=lab.password)
        site.good("secret", "set", "registry.wrong", value="wrong-password")
        site.join(AGENT, docker_host=lab.docker_host)
        site.until(lambda: "docker" in site.read(f"/api/v1/agents/{AGENT}")["capabilities"], "the engine")
        yield site
    finally:
        site.stop()


@pytest.fixture
async def engine(lab: Lab) -> AsyncIterator[Engine]:
    async with open_engine(lab.docker_host) as engine:
        yield engine


@pytest.fixture
async def name(engine: Engine) -> AsyncIterator[str]:
    """A container name; whatever has it, or stands in for it, is removed afterwards."""
    name = f"t{uuid.uuid4().hex[:8]}"
    yield name
    for one in await engine.get("/containers/json", all=True):
        if one["Names"][0].removeprefix("/").startswith(name):
            await engine.delete(f"/containers/{one['Id']}", force=True, v=True)


def run(site: Site, task_type: str, *options: str, credentials: tuple[str, ...] = (), **payload: Any) -> Said:
    """Run a task on the agent and follow it to its end."""
    sets = [word for field, value in payload.items() for word in ("--set", f"{field}={json.dumps(value)}")]
    return site.command("task", "run", task_type, "--agent", AGENT, *sets, *credentials, *options, "--follow")
