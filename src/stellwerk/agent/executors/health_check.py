"""health.check: tell whether a container, an address or a command is healthy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from stellwerk.agent.executors import health
from stellwerk.agent.executors.docker import EngineExecutor
from stellwerk.agent.executors.engine import Engine
from stellwerk.agent.executors.executor import Failed, Job, Report, Result, within
from stellwerk.agent.executors.parameters import Parameters, read


class CheckParameters(health.Timing, frozen=True, kw_only=True):
    """What health.check takes: one way to probe, and how often."""

    container: str | None = None
    """A container's name: its own health check is run; without one it must be running."""
    http: health.HttpProbe | None = None
    tcp: health.TcpProbe | None = None
    exec: health.ExecProbe | None = None

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """Exactly one way to probe, and a container for a command."""
        ways = ("container", "http", "tcp", "exec")
        if any(way not in values for way in ways):
            return []  # one was given and is wrong by itself
        given = [way for way in ways if values[way] is not None]
        found = (
            [] if len(given) == 1 else [f"container, http, tcp or exec: give one of them, not {len(given)}"]
        )
        if values["exec"] is not None and not values["exec"].container:
            found.append("exec.container: required")
        return found


class HealthCheck(EngineExecutor):
    """Probes until something is healthy, or has failed often enough."""

    task_types: tuple[str, ...] = ("health.check",)
    capability: str = "health"
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {"health.check": CheckParameters}

    async def ready(self) -> str | None:
        """HTTP and TCP can be probed without an engine."""
        return None

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Probe; unhealthy is a failure of the task (`health.unhealthy`)."""
        wanted = read(CheckParameters, job.payload)
        if wanted.http or wanted.tcp:
            probe = health.http_probe(wanted.http) if wanted.http else None
            probe = health.tcp_probe(wanted.tcp) if wanted.tcp else probe
            assert probe is not None  # noqa: S101  # one of the two is given
            return await within(job, cancelled, health.until_healthy(probe, wanted, report))
        async with self.engine() as engine:
            return await within(job, cancelled, self._inside(engine, wanted, report))

    async def _inside(self, engine: Engine, wanted: CheckParameters, report: Report) -> Result:
        container = wanted.exec.container if wanted.exec else wanted.container
        found = await engine.inspect(str(container))
        if found is None:
            raise Failed("docker.not_found", f"there is no container {container}")
        command = wanted.exec.command if wanted.exec else health.own_check(found)
        inner = health.exec_probe(engine, found["Id"], command) if command else None

        async def probe() -> health.Answer:
            seen = await engine.inspect(found["Id"])
            if seen is None or not seen["State"].get("Running"):
                return health.Answer(False, f"{container} does not run")
            return await inner() if inner else health.Answer(True, f"{container} runs")

        return await health.until_healthy(probe, wanted, report)
