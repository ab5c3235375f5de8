"""What the executors that drive the container engine share, and the plain ones: pull, stop and remove."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from stellwerk.agent.executors import images, replacement
from stellwerk.agent.executors.engine import Engine, open_engine
from stellwerk.agent.executors.executor import Failed, Job, Report, Result, within
from stellwerk.agent.executors.parameters import Parameters, faults, read
from stellwerk.agent.executors.references import digest_faults, parse
from stellwerk.agent.executors.settings import ExecutorSettings
from stellwerk.agent.executors.turns import Turns

READY_LIMIT_S = 5.0


class EngineExecutor:
    """Checks parameters by the shape of the task type and does the work within an open engine."""

    task_types: tuple[str, ...] = ()
    capability: str = "docker"
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {}

    def __init__(self, settings: ExecutorSettings, turns: Turns) -> None:
        self.settings = settings
        self.turns = turns

    async def ready(self) -> str | None:
        """Tell why the engine cannot be used; None when it answers."""
        try:
            async with asyncio.timeout(READY_LIMIT_S), self.engine():
                return None
        except Failed as failure:
            return failure.message
        except TimeoutError:
            return f"the container engine did not answer within {READY_LIMIT_S:g} s"

    def check(self, task_type: str, payload: Mapping[str, Any]) -> list[str]:
        """List every fault of the parameters."""
        return faults(self.shapes[task_type], payload)

    def demand(self, job: Job) -> None:
        """Raise Failed (`parameters.invalid`) with every fault of a job's parameters."""
        if found := self.check(job.task_type, job.payload):
            raise Failed("parameters.invalid", "; ".join(found), result={"faults": found})

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        """Open a conversation with the engine of this machine."""
        async with open_engine(self.settings.docker_host) as engine:
            yield engine

    async def adopt(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result | None:
        """Nothing to carry on: doing it again finds it done."""
        return None


class PullParameters(Parameters, frozen=True, kw_only=True):
    """What docker.pull takes."""

    image: Annotated[str, Meta(min_length=1)]
    tag: str | None = None
    digest: str | None = None
    allow_tags: bool = False
    """Take a tag without a digest; the result tells which digest it was."""

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """Bytes are named by their digest."""
        return digest_faults(
            values.get("image"), values.get("tag"), values.get("digest"), values.get("allow_tags", False)
        )


class DockerPull(EngineExecutor):
    """Pulls an image and proves its digest."""

    task_types: tuple[str, ...] = ("docker.pull",)
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {"docker.pull": PullParameters}

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Pull; a cancelled pull is given up by the engine and leaves no image."""
        self.demand(job)
        wanted = read(PullParameters, job.payload)
        reference = parse(wanted.image, wanted.tag, wanted.digest)
        async with self.engine() as engine:
            image = await within(job, cancelled, images.pull(engine, reference, job.credentials, report))
        report.progress(100, "pulled")
        return {
            "imageId": image.id,
            "repoDigest": image.repo_digest,
            "sizeBytes": image.size_bytes,
            "cached": image.cached,
        }


class Target(Parameters, frozen=True, kw_only=True):
    """A container, by name or id."""

    name: (
        Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")] | None
    ) = None
    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{6,64}\Z")] | None = None

    @property
    def container(self) -> str:
        """What the engine is asked for."""
        return self.name or self.id or ""

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """One of the two, unless the one given is wrong by itself."""
        if "name" not in values or "id" not in values:
            return []
        given = (values["name"] is not None) + (values["id"] is not None)
        return [] if given == 1 else ["name or id: give one of them"]


class StopParameters(Target, frozen=True, kw_only=True):
    """What docker.stop takes."""

    timeout: Annotated[int, Meta(ge=0, le=3600)] | None = None
    """Seconds between SIGTERM and SIGKILL; None takes the container's own, mostly 10."""


class RemoveParameters(Target, frozen=True, kw_only=True):
    """What docker.remove takes."""

    force: bool = False
    """Remove it though it runs."""
    volumes: bool = False
    """Remove its nameless volumes as well."""


class DockerStop(EngineExecutor):
    """Stops and removes containers."""

    task_types: tuple[str, ...] = ("docker.stop", "docker.remove")
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {
        "docker.stop": StopParameters,
        "docker.remove": RemoveParameters,
    }

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Stop or remove; what is stopped or gone already is well."""
        self.demand(job)
        work = self._stop if job.task_type == "docker.stop" else self._remove
        async with self.engine() as engine:
            target = await self._name_of(engine, job.payload)
            async with self.turns.turn(target, job, cancelled) as timed:
                return await within(timed, cancelled, work(engine, job, report))

    @staticmethod
    async def _name_of(engine: Engine, payload: Mapping[str, Any]) -> str:
        """Name the container, also one that is given by its id: turns are taken by name."""
        if payload.get("name") is not None:
            return str(payload["name"])
        found = await engine.inspect(str(payload["id"]))
        return str(payload["id"]) if found is None else replacement.name_of(found)

    async def _stop(self, engine: Engine, job: Job, report: Report) -> Result:
        wanted = read(StopParameters, job.payload)
        found = await engine.inspect(wanted.container)
        if found is None:
            raise Failed("docker.not_found", f"there is no container {wanted.container}")
        ran = bool(found["State"].get("Running"))
        if ran:
            report.log("info", f"stopping {wanted.container}")
            await replacement.stop(engine, found["Id"], wanted.timeout)
            found = await engine.inspect(found["Id"]) or found
        report.progress(100, "stopped")
        exit_code = int(found["State"].get("ExitCode") or 0)
        return {"containerId": found["Id"], "exitCode": exit_code, "alreadyStopped": not ran}

    async def _remove(self, engine: Engine, job: Job, report: Report) -> Result:
        wanted = read(RemoveParameters, job.payload)
        found = await engine.inspect(wanted.container)
        if found is None:
            return {"removed": False, "containerId": None}
        if found["State"].get("Running") and not wanted.force:
            raise Failed("docker.running", f"{wanted.container} runs: stop it first, or say force: true")
        await replacement.remove(engine, found["Id"], volumes=wanted.volumes)
        report.progress(100, "removed")
        return {"removed": True, "containerId": found["Id"]}
