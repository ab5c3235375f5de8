"""docker.run: start a container, in the place of another if told so, and keep it only if it becomes
healthy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from stellwerk.agent.executors import containers, images
from stellwerk.agent.executors.containers import ContainerSpec, Limits, Name
from stellwerk.agent.executors.docker import EngineExecutor
from stellwerk.agent.executors.engine import Engine
from stellwerk.agent.executors.executor import Failed, Job, Report, Result, within
from stellwerk.agent.executors.health import Command, HealthGate
from stellwerk.agent.executors.parameters import Parameters, read
from stellwerk.agent.executors.references import digest_faults, parse
from stellwerk.agent.executors.replacement import IMAGE_LABEL, Replacement, begin, begun, name_conflict
from stellwerk.agent.executors.undo import undone

NetworkName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")]


class RunParameters(Parameters, frozen=True, kw_only=True):
    """What docker.run takes."""

    image: Annotated[str, Meta(min_length=1)]
    name: Name
    tag: str | None = None
    digest: str | None = None
    allow_tags: bool = False
    pull: images.PullPolicy = "auto"
    command: Command | None = None
    entrypoint: list[str] | None = None
    env: dict[str, str] = msgspec.field(default_factory=dict)
    """Credentials named `env.NAME` are added to it."""
    ports: list[str] = msgspec.field(default_factory=list)
    """`[address:][published:]port[/protocol]`; on 127.0.0.1 unless an address is given."""
    volumes: list[str] = msgspec.field(default_factory=list)
    network: NetworkName | None = None
    """`host`, `none`, or a network of the engine."""
    restart_policy: Annotated[str, Meta(pattern=containers.RESTART.pattern)] = "no"
    limits: Limits = msgspec.field(default_factory=Limits)
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    user: str | None = None
    working_dir: Annotated[str, Meta(pattern="^/")] | None = None
    read_only: bool = False
    init: bool = False
    stop_timeout: Annotated[int, Meta(ge=0, le=3600)] = 10
    """Seconds between SIGTERM and SIGKILL when it is stopped one day."""
    healthcheck: HealthGate = msgspec.field(default_factory=HealthGate)
    """Without a probe of its own the image's check is run; without that it must run for `settle` seconds."""
    replace: bool = False

    @classmethod
    def rules(cls, values: Mapping[str, Any]) -> list[str]:
        """Images by digest, ports and volumes that can be read, labels that are free."""
        return [
            *digest_faults(
                values.get("image"), values.get("tag"), values.get("digest"), values.get("allow_tags", False)
            ),
            *containers.port_faults(values.get("ports", ())),
            *containers.volume_faults(values.get("volumes", ()), None),
            *containers.label_faults(values.get("labels", {})),
            *containers.env_faults(values.get("env", {})),
        ]


class DockerRun(EngineExecutor):
    """Starts containers."""

    task_types: tuple[str, ...] = ("docker.run",)
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {"docker.run": RunParameters}

    def check(self, task_type: str, payload: Mapping[str, Any]) -> list[str]:
        """List every fault, also against what this machine allows to be mounted."""
        found = super().check(task_type, payload)
        volumes = payload.get("volumes")
        if self.settings.bind_roots is not None and isinstance(volumes, list):
            texts = [one for one in volumes if isinstance(one, str)]
            found += containers.volume_faults(texts, self.settings.bind_roots)
        return list(dict.fromkeys(found))

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Start the container and wait until it is healthy; otherwise all is as it was."""
        self.demand(job)
        wanted = read(RunParameters, job.payload)
        async with self.turns.turn(wanted.name, job, cancelled) as timed:
            return await self._replace(timed, wanted, report, cancelled)

    async def adopt(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result | None:
        """Go on with the container that carries the task's label; None when there is none."""
        wanted = read(RunParameters, job.payload)
        # In turn before it looks: a task for the same name that had only waited would replace the container
        # in between, and this one would start it a second time.
        async with self.turns.turn(wanted.name, job, cancelled) as timed:
            async with self.engine() as engine:
                if await begun(engine, job.task_id) is None:
                    return None
            return await self._replace(timed, wanted, report, cancelled)

    async def _replace(
        self, job: Job, wanted: RunParameters, report: Report, cancelled: asyncio.Event
    ) -> Result:
        try:
            async with self.engine() as engine:
                change, result = await within(job, cancelled, self._forward(engine, job, wanted, report))
                # From here there is no way back, so no cancellation and no timeout either.
                await change.commit()
        except Exception as end:
            await undone(self.settings, job, report, end)
            raise
        report.progress(100, "healthy")
        return result

    async def _forward(
        self, engine: Engine, job: Job, wanted: RunParameters, report: Report
    ) -> tuple[Replacement, Result]:
        reference = parse(wanted.image, wanted.tag, wanted.digest)
        adopted = await begun(engine, job.task_id, wanted.name) is not None
        if not adopted:
            holder = await engine.inspect(wanted.name)
            if holder is not None and not wanted.replace:
                raise name_conflict(wanted.name, holder)
            await images.ensure(engine, reference, job.credentials, report, wanted.pull)
        report.progress(50, "creating")
        change = await begin(
            engine, job, spec_of(wanted, reference.text, job.credentials), report, replace=wanted.replace
        )
        previous = await _previous(change)
        await change.switch()
        report.progress(70, "waiting until it is healthy")
        healthy = await change.gate(wanted.healthcheck)
        outcome = await _outcome(change)
        return change, {**outcome, "health": healthy, "previous": previous, "adopted": adopted}


def spec_of(wanted: RunParameters, image: str, credentials: Mapping[str, str]) -> ContainerSpec:
    """Fill in what parameters leave open."""
    command = ["/bin/sh", "-c", wanted.command] if isinstance(wanted.command, str) else wanted.command
    named = wanted.network is not None and wanted.network not in {"host", "none", "bridge", "default"}
    return ContainerSpec(
        name=wanted.name,
        image=image,
        command=command,
        entrypoint=wanted.entrypoint,
        env=wanted.env | secret_env(credentials),
        ports=[containers.parse_port(port) for port in wanted.ports],
        volumes=wanted.volumes,
        networks={wanted.network: ()} if wanted.network and named else {},
        network_mode=wanted.network if not named else None,
        restart=wanted.restart_policy,
        limits=wanted.limits,
        labels=wanted.labels,
        user=wanted.user,
        working_dir=wanted.working_dir,
        read_only=wanted.read_only,
        init=wanted.init,
        stop_grace_s=wanted.stop_timeout,
    )


def secret_env(credentials: Mapping[str, str]) -> dict[str, str]:
    """Take the variables that come as credentials, `env.NAME`."""
    return {name[4:]: value for name, value in credentials.items() if name.startswith("env.") and name[4:]}


async def _previous(change: Replacement) -> Result | None:
    found = await change.engine.inspect(change.previous_id) if change.previous_id else None
    if found is None:
        return None
    image = (found["Config"].get("Labels") or {}).get(IMAGE_LABEL) or str(found["Config"].get("Image") or "")
    digest = image.partition("@")[2] or found.get("ImageDigest")
    return {"id": found["Id"], "image": image, "digest": digest}


async def _outcome(change: Replacement) -> Result:
    found = await change.engine.inspect(change.new_id)
    if found is None:
        raise Failed("docker.vanished", f"{change.name} was removed by somebody else")
    bound = (found.get("NetworkSettings") or {}).get("Ports") or {}
    ports = {
        port: [{"host": one.get("HostIp") or "*", "port": int(one["HostPort"])} for one in where]
        for port, where in bound.items()
        if where
    }
    return {
        "containerId": found["Id"],
        "name": change.name,
        "imageId": found["Image"],
        "startedAt": found["State"].get("StartedAt"),
        "ports": ports,
    }
