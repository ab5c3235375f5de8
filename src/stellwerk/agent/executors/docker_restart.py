"""docker.restart: stops a container and starts the same one again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar

from stellwerk.agent.executors import replacement
from stellwerk.agent.executors.docker import EngineExecutor, StopParameters
from stellwerk.agent.executors.engine import Engine
from stellwerk.agent.executors.executor import (
    CLEANUP_LIMIT_S,
    Cancelled,
    Failed,
    Job,
    Lost,
    Report,
    Result,
    TimedOut,
    within,
)
from stellwerk.agent.executors.parameters import Parameters, read

START_LIMIT_S = 120.0
STOPS_S = 10.0
"""Added to a container's own grace, as the engine takes its time too."""
ENDED = frozenset({"exited", "stopped", "dead"})
LOOK_S = 0.2


class DockerRestart(EngineExecutor):
    """Restarts containers. One that does not run is started."""

    task_types: tuple[str, ...] = ("docker.restart",)
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {"docker.restart": StopParameters}

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Stop and start; a task that is cancelled or out of time leaves the container running."""
        self.demand(job)
        wanted = read(StopParameters, job.payload)
        async with self.turns.turn(wanted.container, job, cancelled) as timed, self.engine() as engine:
            found = await _inspect(engine, wanted.container)
            ran = bool(found["State"].get("Running"))
            try:
                return await within(timed, cancelled, _restart(engine, found, wanted.timeout, report))
            except (Cancelled, TimedOut):
                if ran:
                    await _bring_back(engine, found, wanted.timeout)
                raise

    async def adopt(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result | None:
        """Start what was stopped. What runs does not tell whether it was restarted, and twice would hurt."""
        self.demand(job)
        wanted = read(StopParameters, job.payload)
        async with self.engine() as engine:
            found = await _inspect(engine, wanted.container)
            if not found["State"].get("Running"):
                return await within(job, cancelled, _restart(engine, found, wanted.timeout, report))
        raise Lost("the agent ended while it restarted the container; whether it had, cannot be told")


async def _restart(engine: Engine, found: Mapping[str, Any], grace_s: int | None, report: Report) -> Result:
    container, ran = found["Id"], bool(found["State"].get("Running"))
    if ran:
        report.log("info", f"stopping {str(found['Name']).removeprefix('/')}")
        await replacement.stop(engine, container, grace_s)
    report.progress(50, "starting")
    await _start(engine, container)
    now = await _inspect(engine, container)
    if not now["State"].get("Running"):
        lines = await engine.logs(container)
        code = now["State"].get("ExitCode")
        raise Failed("docker.exited", f"the container ended at once with {code}: {lines[-2_000:]}")
    report.progress(100, "restarted")
    return {"containerId": container, "startedAt": now["State"].get("StartedAt"), "wasRunning": ran}


async def _bring_back(engine: Engine, before: Mapping[str, Any], grace_s: int | None) -> None:
    """Start the container again once the engine has ended the process, which it does though nobody waits."""
    ends_s = (replacement.own_grace_s(before) if grace_s is None else grace_s) + STOPS_S
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(min(ends_s, CLEANUP_LIMIT_S)):
            while True:
                state = (await _inspect(engine, before["Id"]))["State"]
                if state.get("StartedAt") != before["State"].get("StartedAt") or state.get("Status") in ENDED:
                    break
                await asyncio.sleep(LOOK_S)
    await _start(engine, before["Id"])


async def _inspect(engine: Engine, container: str) -> dict[str, Any]:
    found = await engine.inspect(container)
    if found is None:
        raise Failed("docker.not_found", f"there is no container {container}")
    return found


async def _start(engine: Engine, container: str) -> None:
    # Starting what runs is no error.
    await engine.post(f"/containers/{container}/start", limit_s=START_LIMIT_S)
