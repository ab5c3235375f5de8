"""compose.up and compose.down: the services of one compose file on this machine, all of them or none.

Theory of operation. The engine's API is driven directly, for a documented subset (`compose_file`). A
separate compose program may be missing or of another version, cannot be cancelled half-way with a way
back, and does not gate on health. Here a service is a replacement like any other: all images are pulled
first, then one service after the other takes the place of its previous container and must become healthy.
The previous containers are kept until the last service is healthy; if one fails, all of them come back,
the last one first. A service whose description has not changed is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta

from stellwerk.agent.executors import images, replacement
from stellwerk.agent.executors.compose_file import PlannedService, Project, plan
from stellwerk.agent.executors.compose_yaml import Variables
from stellwerk.agent.executors.docker import EngineExecutor
from stellwerk.agent.executors.docker_run import secret_env
from stellwerk.agent.executors.engine import Engine, EngineError, refused
from stellwerk.agent.executors.executor import TASK_LABEL, Failed, Job, Report, Result, within
from stellwerk.agent.executors.parameters import Parameters, read
from stellwerk.agent.executors.references import parse
from stellwerk.agent.executors.replacement import Replacement, begin, begun, name_of
from stellwerk.agent.executors.undo import undone

PROJECT_LABEL: Final = "stellwerk.project"
SERVICE_LABEL: Final = "stellwerk.service"
CONFIG_LABEL: Final = "stellwerk.config"

ProjectName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}\Z")]


class UpParameters(Parameters, frozen=True, kw_only=True):
    """What compose.up takes."""

    project: ProjectName
    compose_yaml: Annotated[str, Meta(min_length=1)]
    env: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables of the file; credentials named `env.NAME` are added to it."""
    pull: images.PullPolicy = "auto"
    remove_orphans: bool = False
    """Remove containers of the project whose service is not in the file any more."""


class DownParameters(Parameters, frozen=True, kw_only=True):
    """What compose.down takes."""

    project: ProjectName
    volumes: bool = False
    """Remove the project's volumes, and what is in them."""


class Compose(EngineExecutor):
    """Brings projects up and down."""

    task_types: tuple[str, ...] = ("compose.up", "compose.down")
    capability: str = "compose"
    shapes: ClassVar[Mapping[str, type[Parameters]]] = {
        "compose.up": UpParameters,
        "compose.down": DownParameters,
    }

    def check(self, task_type: str, payload: Mapping[str, Any]) -> list[str]:
        """List every fault, those of the compose file too. One that needs variables which only come as
        credentials can be read no sooner than when it is run."""
        found = super().check(task_type, payload)
        text, env = payload.get("composeYaml"), payload.get("env") or {}
        if task_type == "compose.up" and isinstance(text, str) and isinstance(env, dict):
            variables = Variables(env)
            _, faults = plan("check", text, variables, self.settings.bind_roots)
            found += [] if variables.missing else faults
        return found

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Bring the project up or down; a project that does not come up is as it was."""
        self.demand(job)
        target = f"project {job.payload['project']}"
        async with self.turns.turn(target, job, cancelled) as timed:
            if job.task_type == "compose.down":
                async with self.engine() as engine:
                    return await within(
                        timed, cancelled, _down(engine, read(DownParameters, job.payload), report)
                    )
            return await self._up(timed, report, cancelled)

    async def _up(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        wanted = read(UpParameters, job.payload)
        variables = Variables(wanted.env | secret_env(job.credentials))
        project, found = plan(wanted.project, wanted.compose_yaml, variables, self.settings.bind_roots)
        if project is None:
            raise Failed("parameters.invalid", "; ".join(found), result={"faults": found})
        try:
            async with self.engine() as engine:
                changes, services = await within(
                    job, cancelled, _forward(engine, job, project, wanted, report)
                )
                # From here there is no way back, so no cancellation and no timeout either.
                for change in changes:
                    await change.commit()
                orphans = await _orphans(engine, project, report, remove=wanted.remove_orphans)
        except Exception as end:
            await undone(self.settings, job, report, end)
            await self._remove_networks(job)
            raise
        report.progress(100, "all services are healthy")
        return {"project": project.name, "services": services, "orphans": orphans}

    async def _remove_networks(self, job: Job) -> None:
        """Remove the networks that the task had made; one that is in use stays."""
        try:
            async with self.engine() as engine:
                await _drop_networks(engine, f"{TASK_LABEL}={job.task_id}")
        except Failed:
            return


async def _forward(
    engine: Engine, job: Job, project: Project, wanted: UpParameters, report: Report
) -> tuple[list[Replacement], list[Result]]:
    for image in dict.fromkeys(service.spec.image for service in project.services):
        await images.ensure(engine, parse(image), job.credentials, report, wanted.pull)
    await _networks(engine, job, project)
    await _volumes(engine, project)
    changes: list[Replacement] = []
    results: list[Result] = []
    for number, service in enumerate(project.services):
        report.progress(40 + 55 * number // len(project.services), f"service {service.name}")
        change, result = await _service(engine, job, project, service, report)
        changes += [change] if change else []
        results.append(result)
    return changes, results


async def _service(
    engine: Engine, job: Job, project: Project, service: PlannedService, report: Report
) -> tuple[Replacement | None, Result]:
    present = await engine.inspect(service.spec.name)
    labels = (present["Config"].get("Labels") or {}) if present else {}
    mine = labels.get(PROJECT_LABEL) == project.name
    if present and mine and labels.get(TASK_LABEL) != job.task_id and _unchanged(present, labels, service):
        report.log("info", f"{service.name} is as described already")
        return None, _told(service, present["Id"], "unchanged", {"healthy": True})
    own = {PROJECT_LABEL: project.name, SERVICE_LABEL: service.name, CONFIG_LABEL: service.config}
    resumed = await begun(engine, job.task_id, service.spec.name)
    if present and not mine and resumed is None:
        raise Failed(
            "docker.name_conflict",
            f"{service.spec.name} is a container that does not belong to project {project.name}",
            result={"container": present["Id"]},
        )
    change = await begin(engine, job, service.spec, report, replace=True, labels=own)
    await change.switch()
    healthy = await change.gate(service.gate)
    return change, _told(service, change.new_id, "replaced" if change.previous_id else "created", healthy)


def _unchanged(present: Mapping[str, Any], labels: Mapping[str, str], service: PlannedService) -> bool:
    return labels.get(CONFIG_LABEL) == service.config and bool(present["State"].get("Running"))


def _told(service: PlannedService, container: str, state: str, healthy: Result) -> Result:
    digest = service.spec.image.partition("@")[2]
    return {
        "name": service.name,
        "container": service.spec.name,
        "containerId": container,
        "digest": digest,
        "state": state,
        "health": "healthy" if healthy.get("healthy") else "unhealthy",
    }


async def _networks(engine: Engine, job: Job, project: Project) -> None:
    present = {one["Name"] for one in await engine.get("/networks")}
    for name, network in project.networks.items():
        if name in present:
            continue
        if network.external:
            raise Failed("compose.no_network", f"the external network {name} does not exist")
        labels = {PROJECT_LABEL: project.name, TASK_LABEL: job.task_id}
        body = {"Name": name, "CheckDuplicate": True, "Internal": network.internal, "Labels": labels}
        try:
            await engine.post("/networks/create", body)
        except EngineError as error:
            raise refused(error, f"the network {name} could not be made") from error


async def _volumes(engine: Engine, project: Project) -> None:
    present = {one["Name"] for one in (await engine.get("/volumes")).get("Volumes") or ()}
    for name, volume in project.volumes.items():
        if name in present:
            continue
        if volume.external:
            raise Failed("compose.no_volume", f"the external volume {name} does not exist")
        await engine.post("/volumes/create", {"Name": name, "Labels": {PROJECT_LABEL: project.name}})


async def _orphans(engine: Engine, project: Project, report: Report, *, remove: bool) -> list[str]:
    """List the project's containers that no service of the file stands for; removed if told so."""
    names = {service.spec.name for service in project.services}
    orphans = [one for one in await _of(engine, project.name) if name_of(one) not in names]
    for one in orphans if remove else ():
        report.log("info", f"removing {name_of(one)}, which no service stands for")
        await replacement.stop(engine, one["Id"], None)
        await replacement.remove(engine, one["Id"])
    return [name_of(one) for one in orphans]


async def _down(engine: Engine, wanted: DownParameters, report: Report) -> Result:
    removed = []
    for one in reversed(await _of(engine, wanted.project)):
        report.log("info", f"removing {name_of(one)}")
        await replacement.stop(engine, one["Id"], None)
        await replacement.remove(engine, one["Id"], volumes=wanted.volumes)
        removed.append(name_of(one))
    label = f"{PROJECT_LABEL}={wanted.project}"
    networks = await _drop_networks(engine, label)
    volumes = await _drop_volumes(engine, label) if wanted.volumes else []
    report.progress(100, "down")
    return {"project": wanted.project, "removed": removed, "networks": networks, "volumes": volumes}


async def _of(engine: Engine, project: str) -> list[dict[str, Any]]:
    """Find a project's containers, oldest first."""
    listed = await engine.get("/containers/json", all=True, filters={"label": [f"{PROJECT_LABEL}={project}"]})
    found = [await engine.inspect(one["Id"]) for one in listed]
    return sorted((one for one in found if one is not None), key=lambda one: str(one["Created"]))


async def _drop_networks(engine: Engine, label: str) -> list[str]:
    dropped = []
    for one in await engine.get("/networks", filters={"label": [label]}):
        try:
            await engine.delete(f"/networks/{one['Name']}")
        except EngineError:
            continue  # something of another project is in it
        dropped.append(str(one["Name"]))
    return dropped


async def _drop_volumes(engine: Engine, label: str) -> list[str]:
    dropped = []
    for one in (await engine.get("/volumes", filters={"label": [label]})).get("Volumes") or ():
        try:
            await engine.delete(f"/volumes/{one['Name']}")
        except EngineError:
            continue
        dropped.append(str(one["Name"]))
    return dropped
