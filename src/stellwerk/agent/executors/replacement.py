"""Put a container in the place of another, and the other back if the new one is no good.

Theory of operation. Nothing but the engine remembers: the new container carries labels that name its task,
its final name, the container it replaces and whether that one ran. A process that was killed anywhere is
followed by one that finds the new container by its labels and goes on from what it sees.

    create   the new one under a staging name; the previous one is untouched: a bad volume costs nothing
    switch   previous stopped and renamed, new renamed and started
    (gate)   the caller probes
    commit   previous removed
    rollback new renamed `.failed`, stopped; previous renamed back and started; then new removed

Each step looks before it acts, so each can be repeated. The new container is removed last in a rollback,
and the previous one last in a commit: until then the labels are there to go on from. A new container named
`.failed` is never started again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stellwerk.agent.executors import health
from stellwerk.agent.executors.containers import ContainerSpec, create_body
from stellwerk.agent.executors.engine import Engine, EngineError, refused
from stellwerk.agent.executors.executor import ATTEMPT_LABEL, TASK_LABEL, Failed, Job, Report, Result

NAME_LABEL: Final = "stellwerk.name"
PREVIOUS_LABEL: Final = "stellwerk.previous"
PREVIOUS_RAN_LABEL: Final = "stellwerk.previous-ran"
IMAGE_LABEL: Final = "stellwerk.image"

NOT_STARTED: Final = frozenset({"created", "configured", "initialized"})

FAILED_GRACE_S: Final = 5
"""A new container that is no good gets no more time to stop: the previous one waits for its place."""

STOP_MARGIN_S: Final = 30.0
"""Added to a container's own grace before a stop counts as unanswered."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A new container and the one it takes the place of, if any."""

    engine: Engine
    report: Report
    name: str
    new_id: str
    previous_id: str | None
    previous_ran: bool
    mark: str
    """Distinguishes the names of this task's containers from those of others."""

    @property
    def previous_name(self) -> str:
        """What the previous container is called until the new one is healthy."""
        return f"{self.name}.{self.mark}.previous"

    @property
    def failed_name(self) -> str:
        """What the new container is called once it is no good."""
        return f"{self.name}.{self.mark}.failed"

    async def switch(self) -> None:
        """Stop and rename the previous container, rename and start the new one; raises Failed."""
        new = await self._new()
        if name_of(new) == self.failed_name:
            raise Failed(
                "docker.failed_before",
                f"{self.name}: the new container had failed before the agent restarted",
            )
        if self.previous_id and (previous := await self.engine.inspect(self.previous_id)):
            await self._set_aside(previous)
        if name_of(new) != self.name:
            await rename(self.engine, self.new_id, self.name)
        if new["State"]["Status"] in NOT_STARTED:
            await self._start()

    async def commit(self) -> None:
        """Remove the previous container; its volumes stay. Never fails: the new one is in place already."""
        try:
            if self.previous_id:
                await remove(self.engine, self.previous_id)
        except (EngineError, Failed) as error:
            self.report.log("warning", f"{self.previous_name} could not be removed: {error}")

    async def rollback(self) -> bool:
        """Remove the new container and bring the previous one back; False when that one does not run again
        though it did before."""
        previous = await self.engine.inspect(self.previous_id) if self.previous_id else None
        if self.previous_id and previous is None:
            self.report.log("error", f"the previous {self.name} is gone, so the new one stays")
            return False
        new = await self.engine.inspect(self.new_id)
        if new:
            if name_of(new) != self.failed_name:
                await rename(self.engine, self.new_id, self.failed_name)
            await stop(self.engine, self.new_id, grace_s=min(own_grace_s(new), FAILED_GRACE_S))
        back = previous is None or await self._bring_back(previous)
        if new:
            await remove(self.engine, self.new_id, volumes=True)
        return back

    async def alive(self) -> None:
        """Raise Failed (`container.exited`) with its last words when the new container does not run."""
        state = (await self._new())["State"]
        if state.get("Running") and not state.get("Restarting"):
            return
        if state.get("Status") in NOT_STARTED:
            return
        said = (await self.engine.logs(self.new_id)).strip()[-2000:]
        code = int(state.get("ExitCode") or 0)
        raise Failed(
            "container.exited",
            f"{self.name} ended with exit code {code}"
            + (f"; it said: {said}" if said else " and said nothing"),
            result={"exitCode": code, "output": said},
        )

    async def gate(self, wanted: health.HealthGate, image_check: bool = True) -> Result:
        """Wait until the new container is healthy; raises Failed (`health.unhealthy`, `container.exited`)."""
        if (probe := await self._probe(wanted)) is not None:
            return await health.until_healthy(probe, wanted, self.report, self.alive)
        steps = max(1, round(wanted.settle / health.SETTLE_STEP_S))
        for _ in range(steps):
            await self.alive()
            await asyncio.sleep(health.SETTLE_STEP_S)
        await self.alive()
        return {"healthy": True, "attempts": 1, "lastOutput": f"ran for {wanted.settle:g} s"}

    async def _probe(self, wanted: health.HealthGate) -> health.Probe | None:
        if wanted.http:
            return health.http_probe(wanted.http)
        if wanted.tcp:
            return health.tcp_probe(wanted.tcp)
        if wanted.exec:
            return health.exec_probe(self.engine, wanted.exec.container or self.new_id, wanted.exec.command)
        own = health.own_check(await self._new())
        return health.exec_probe(self.engine, self.new_id, own) if own else None

    async def _new(self) -> dict[str, Any]:
        found = await self.engine.inspect(self.new_id)
        if found is None:
            raise Failed("docker.vanished", f"{self.name}: the new container was removed by somebody else")
        return found

    async def _set_aside(self, previous: Mapping[str, Any]) -> None:
        if previous["State"].get("Running"):
            self.report.log("info", f"stopping the previous {self.name}")
            await stop(self.engine, str(self.previous_id), grace_s=None)
        if name_of(previous) == self.name:
            await rename(self.engine, str(self.previous_id), self.previous_name)

    async def _start(self) -> None:
        self.report.log("info", f"starting {self.name}")
        try:
            await self.engine.post(f"/containers/{self.new_id}/start", limit_s=120)
        except EngineError as error:
            raise start_failure(self.name, error) from error

    async def _bring_back(self, previous: Mapping[str, Any]) -> bool:
        if name_of(previous) != self.name:
            await rename(self.engine, str(self.previous_id), self.name)
        if not self.previous_ran or previous["State"].get("Running"):
            return True
        try:
            await self.engine.post(f"/containers/{self.previous_id}/start", limit_s=120)
        except EngineError as error:
            self.report.log("error", f"the previous {self.name} does not start again: {error.message}")
            return False
        self.report.log("warning", f"the previous {self.name} is back")
        return True


async def begin(
    engine: Engine,
    job: Job,
    spec: ContainerSpec,
    report: Report,
    *,
    replace: bool,
    labels: Mapping[str, str] | None = None,
) -> Replacement:
    """Find what this task has begun for this name, else create the new container beside the previous one.

    Raises Failed: `docker.name_conflict` when the name is taken and may not be replaced.
    """
    if own := await begun(engine, job.task_id, spec.name):
        report.log("info", f"adopting {spec.name}, which this task had created")
        await _connect(engine, own, spec)
        return resumed(engine, report, own)
    previous = await engine.inspect(spec.name)
    if previous is not None:
        _may_replace(previous, spec.name, replace)
    mark = task_mark(job.task_id)
    own_labels = {
        TASK_LABEL: job.task_id,
        ATTEMPT_LABEL: str(job.attempt),
        NAME_LABEL: spec.name,
        IMAGE_LABEL: spec.image,
        PREVIOUS_LABEL: str(previous["Id"]) if previous else "",
        PREVIOUS_RAN_LABEL: "1" if previous and previous["State"].get("Running") else "0",
        **(labels or {}),
    }
    try:
        made = await engine.post(
            "/containers/create", create_body(spec, own_labels), limit_s=120, name=f"{spec.name}.{mark}.new"
        )
    except EngineError as error:
        raise refused(error, f"{spec.name} could not be created") from error
    for warning in made.get("Warnings") or ():
        report.log("warning", str(warning))
    found = await engine.inspect(made["Id"])
    if found is None:
        raise Failed("docker.vanished", f"{spec.name} vanished right after it was created", retriable=True)
    await _connect(engine, found, spec)
    return resumed(engine, report, found)


async def begun(engine: Engine, task_id: str, name: str | None = None) -> dict[str, Any] | None:
    """Find the container that a task created, by its labels; None when there is none."""
    wanted = [f"{TASK_LABEL}={task_id}"] + ([f"{NAME_LABEL}={name}"] if name else [])
    for found in await engine.get("/containers/json", all=True, filters={"label": wanted}):
        if (seen := await engine.inspect(found["Id"])) is not None:
            return seen
    return None


def resumed(engine: Engine, report: Report, new: Mapping[str, Any]) -> Replacement:
    """Read a replacement from the labels of its new container."""
    labels = new["Config"]["Labels"]
    return Replacement(
        engine,
        report,
        labels[NAME_LABEL],
        str(new["Id"]),
        labels.get(PREVIOUS_LABEL) or None,
        labels.get(PREVIOUS_RAN_LABEL) == "1",
        task_mark(labels[TASK_LABEL]),
    )


async def stop(engine: Engine, container: str, grace_s: int | None) -> None:
    """Stop a container; None takes its own grace. One that does not run or is gone is stopped already."""
    query = {} if grace_s is None else {"t": str(grace_s)}
    limit_s = grace_s
    if limit_s is None and (found := await engine.inspect(container)):
        limit_s = own_grace_s(found)
    try:
        await engine.post(f"/containers/{container}/stop", limit_s=(limit_s or 0) + STOP_MARGIN_S, **query)
    except EngineError as error:
        if error.status != 404 and not await _still(
            engine, container, lambda state: not state.get("Running")
        ):
            raise


def own_grace_s(container: Mapping[str, Any]) -> int:
    """Tell how long a container may take to stop; the engines' own default is 10 s."""
    grace_s = container["Config"].get("StopTimeout")
    return 10 if grace_s is None else int(grace_s)


async def remove(engine: Engine, container: str, *, volumes: bool = False) -> None:
    """Remove a container, running or not; `volumes` its nameless ones as well. One that is gone is
    removed."""
    try:
        await engine.delete(f"/containers/{container}", force=True, v=volumes)
    except EngineError as error:
        if error.status != 404 and await engine.inspect(container) is not None:
            raise


async def rename(engine: Engine, container: str, name: str) -> None:
    """Give a container a name; raises Failed (`docker.name_conflict`) when another has it."""
    try:
        await engine.post(f"/containers/{container}/rename", name=name)
    except EngineError as error:
        holder = await engine.inspect(name)
        if holder is not None and holder["Id"].startswith(container):
            return
        if holder is not None:
            raise name_conflict(name, holder) from error
        raise


def name_of(container: Mapping[str, Any]) -> str:
    """Tell a container's name."""
    return str(container["Name"]).removeprefix("/")


def task_mark(task_id: str) -> str:
    """Shorten a task's id to what fits into a container's name."""
    return hashlib.sha256(task_id.encode()).hexdigest()[:10]


def name_conflict(name: str, holder: Mapping[str, Any]) -> Failed:
    """Word that a name is taken."""
    owner = (holder["Config"].get("Labels") or {}).get(TASK_LABEL)
    return Failed(
        "docker.name_conflict",
        f"the name {name} belongs to container {holder['Id'][:12]}"
        + (f" of task {owner}" if owner else "")
        + "; say replace: true to put this one in its place",
        result={"container": holder["Id"]},
    )


def start_failure(name: str, error: EngineError) -> Failed:
    """Sort what an engine says about a start that failed."""
    said = error.message.lower()
    if any(word in said for word in ("address already in use", "port is already allocated")):
        return Failed(
            "docker.port_taken", f"{name}: a port it publishes is taken: {error.message}", retriable=True
        )
    return Failed("docker.start_failed", f"{name} does not start: {error.message}")


async def _connect(engine: Engine, new: Mapping[str, Any], spec: ContainerSpec) -> None:
    """Connect a container that has not started yet to its further networks."""
    connected = (new.get("NetworkSettings") or {}).get("Networks") or {}
    if new["State"]["Status"] not in NOT_STARTED:
        return
    for name, aliases in list(spec.networks.items())[1:]:
        if name not in connected:
            body = {"Container": new["Id"], "EndpointConfig": {"Aliases": list(aliases)}}
            await engine.post(f"/networks/{name}/connect", body)


def _may_replace(previous: Mapping[str, Any], name: str, replace: bool) -> None:
    if not replace:
        raise name_conflict(name, previous)
    if previous["HostConfig"].get("AutoRemove"):
        raise Failed(
            "docker.previous_removes_itself",
            f"{name} was started with --rm: stopped, it is gone and cannot come back. Remove it first.",
        )


async def _still(engine: Engine, container: str, holds: Callable[[Mapping[str, Any]], bool]) -> bool:
    found = await engine.inspect(container)
    return found is None or holds(found["State"])
