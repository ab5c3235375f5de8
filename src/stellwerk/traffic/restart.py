"""Restarts: which instances are asked to end, in which order, and when one has come back.

A restart goes through its instances one after the other, so that an agent with several never stops answering.
An instance has come back when another one of the same version is ready that was not there when the restart
was asked for. What cannot come back is not asked to go: somebody must be known to start it again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Literal

import msgspec
from msgspec.structs import replace

from stellwerk.fleet.model import BASE_URL, AgentView, Condition, InstanceView, Presence
from stellwerk.traffic.refusals import TrafficRefused

READY = frozenset({Condition.ACTIVE, Condition.BUSY})
ANY_AGENT = "*"


class RestartState(StrEnum):
    """How a restart stands; all but the first are ends."""

    REQUESTED = "requested"
    RESTARTED = "restarted"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One instance on its way. Instants are microseconds UTC."""

    version: str
    instance: str
    url: str | None
    """Where it listens; None if it does not say."""
    asked_at: int | None = None
    """None: it was not asked to end yet."""
    task_id: str | None = None
    """The task of the deployment agent that restarts its container; None if it is asked itself."""
    replaced_by: str | None = None
    """The instance that came back."""


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """One restart of a version, or of all versions of an agent. Instants are microseconds UTC."""

    restart_id: str
    group: str
    version: str | None
    state: RestartState
    detail: str | None
    """Why it stands so, for people."""
    steps: tuple[Step, ...]
    known: tuple[str, ...]
    """The agent's instances when it was asked for: none of them can be one that came back."""
    requested_by: str
    requested_at: int
    deadline_at: int
    """When the present step is given up."""
    finished_at: int | None = None
    revision: int = 0

    @property
    def current(self) -> Step | None:
        """The step that is under way; None when all are done."""
        return next((step for step in self.steps if step.replaced_by is None), None)


Why = Literal["no_supervisor", "last_healthy_instance", "no_instance", "no_address", "restart_under_way"]


class RestartRefused(TrafficRefused):
    """A restart that would do more harm than good, or none at all; nothing was asked to end."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why = why


class UnknownRestart(TrafficRefused):
    """There is no such restart of this agent."""


class Container(msgspec.Struct, frozen=True):
    """Where an agent's process runs: a container on the machine of a deployment agent."""

    agent: str
    container: str


Find = Callable[[str], Container | None]
"""Finds the container of a version."""


def plan_restart(view: AgentView, version: str | None, container: Find) -> tuple[Step, ...]:
    """List the instances to restart, the oldest first: of a version, or (None) of all.

    `container` finds that of a version, None where its process is asked itself.

    Those that are offline come in only if nothing else is there and their container can be restarted. Raises
    RestartRefused.
    """
    meant = [one for one in reversed(view.instances) if version in (None, one.version)]
    there = [one for one in meant if one.presence is not Presence.OFFLINE]
    chosen = there or [one for one in meant if container(one.version) is not None]
    if not chosen:
        of = f"Version {version} of agent {view.group}" if version else f"Agent {view.group}"
        raise RestartRefused("no_instance", f"{of} has no instance that could be asked")
    steps = tuple(Step(version=one.version, instance=one.instance, url=_address(one)) for one in chosen)
    if any(step.url is None and container(step.version) is None for step in steps):
        raise RestartRefused("no_address", f"Agent {view.group} has no address to be asked at")
    return steps


def check_spare(view: AgentView, steps: Sequence[Step]) -> None:
    """Raise RestartRefused if a step would take out the last instance that takes calls."""
    weights = {one.version: one.weight for one in view.versions}
    serving = {one.instance for one in view.instances if is_ready(one) and weights.get(one.version) != 0}
    if len(serving) == 1 and any(step.instance in serving for step in steps):
        raise RestartRefused(
            "last_healthy_instance", f"It is the last healthy instance of agent {view.group} that takes calls"
        )


def supervisor_of(
    view: AgentView, declared: Mapping[str, object] | None, supervised: Iterable[str]
) -> Mapping[str, object] | None:
    """Find who starts an agent's processes again: its options, its registration, or the settings say so; None
    is nobody."""
    if declared:
        return declared
    custom = view.metadata.get("custom")
    own = custom.get("supervisor") if isinstance(custom, Mapping) else None
    if isinstance(own, Mapping) and own:
        return own
    if isinstance(own, str) and own:
        return {"kind": own}
    names = set(supervised)
    return {"kind": "settings"} if ANY_AGENT in names or view.group in names else None


def container_of(supervisor: Mapping[str, object] | None, version: str) -> Container | None:
    """Read a supervisor that is a deployment agent; None if it is another, or has no such container.

    `containers` names one for each version, `container` the one of all others.
    """
    named = supervisor or {}
    agent, of_each = named.get("agent"), named.get("containers")
    own = of_each.get(version) if isinstance(of_each, Mapping) else None
    container = own or named.get("container")
    return Container(agent, container) if isinstance(agent, str) and isinstance(container, str) else None


def starts(supervisor: Mapping[str, object] | None, version: str) -> bool:
    """Tell whether a supervisor starts the processes of a version again.

    One that names containers starts only those.
    """
    if supervisor is None:
        return False
    return "containers" not in supervisor or container_of(supervisor, version) is not None


def asked(restart: Restart, now_us: int, limit_us: int, task_id: str | None = None) -> Restart:
    """Note that the present step's instance is asked to end now, and give it its time."""
    return _with_step(restart, asked_at=now_us, task_id=task_id, deadline_at=now_us + limit_us)


def look(restart: Restart, view: AgentView | None, now_us: int) -> Restart:
    """Tell how a restart stands, given its agent as it is now (None: removed)."""
    step = restart.current
    if restart.finished_at is not None or step is None:
        return restart
    back = None if view is None or step.asked_at is None else _came_back(restart, step, view.instances)
    if back is not None:
        moved = _with_step(restart, replaced_by=back.instance)
        if moved.current is None:
            return ended(moved, RestartState.RESTARTED, None, now_us)
        return moved
    if now_us >= restart.deadline_at:
        detail = f"Version {step.version} did not come back in the place of instance {step.instance}"
        return ended(restart, RestartState.TIMED_OUT, detail, now_us)
    return restart


def ended(restart: Restart, state: RestartState, detail: str | None, now_us: int) -> Restart:
    """Put a restart to its end."""
    return replace(restart, state=state, detail=detail, finished_at=now_us)


def is_ready(one: InstanceView) -> bool:
    """Tell whether an instance can take calls."""
    return one.presence is Presence.ONLINE and one.condition in READY


def _came_back(restart: Restart, step: Step, instances: Iterable[InstanceView]) -> InstanceView | None:
    taken = {*restart.known, *(one.replaced_by for one in restart.steps)}
    fresh = (one for one in instances if one.version == step.version and one.instance not in taken)
    return next((one for one in fresh if is_ready(one)), None)


def _with_step(restart: Restart, deadline_at: int | None = None, **changes: object) -> Restart:
    present = restart.current
    steps = tuple(replace(step, **changes) if step is present else step for step in restart.steps)
    return replace(restart, steps=steps, deadline_at=deadline_at or restart.deadline_at)


def _address(one: InstanceView) -> str | None:
    return one.endpoints.get(BASE_URL)
