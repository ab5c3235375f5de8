"""Executors: what an agent can do on its machine, by task type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stellwerk.agent.executors.compose import Compose
from stellwerk.agent.executors.docker import DockerPull, DockerStop
from stellwerk.agent.executors.docker_restart import DockerRestart
from stellwerk.agent.executors.docker_run import DockerRun
from stellwerk.agent.executors.executor import Executor
from stellwerk.agent.executors.health_check import HealthCheck
from stellwerk.agent.executors.inspection import Inspect
from stellwerk.agent.executors.settings import ExecutorSettings
from stellwerk.agent.executors.ssh import Ssh
from stellwerk.agent.executors.sticker import Stickers
from stellwerk.agent.executors.turns import Turns

NOT_BUILT: Final[Mapping[str, str]] = {
    "winrm": "WinRM is a valid label of foreign agents; this agent does not speak it yet. Use ssh.exec.",
    "ecs": "Amazon ECS is a valid label of foreign agents; this agent does not deploy to it yet.",
    "nomad": "Nomad is a valid label of foreign agents; this agent does not deploy to it yet.",
}
"""Capabilities that the protocol knows and this agent refuses, each with what to tell the caller."""


def available(settings: ExecutorSettings) -> dict[str, Executor]:
    """Make the executors, by task type. Does no I/O: `ready` of each tells whether it can work now."""
    turns = Turns()
    made: list[Executor] = [
        DockerPull(settings, turns),
        DockerRun(settings, turns),
        DockerStop(settings, turns),
        DockerRestart(settings, turns),
        Compose(settings, turns),
        HealthCheck(settings, turns),
        Inspect(settings, turns),
        Stickers(settings),
        Ssh(settings),
    ]
    return {task_type: executor for executor in made for task_type in executor.task_types}


def refusal(task_type: str) -> str:
    """Word why this agent does not take tasks of `task_type`."""
    family = task_type.partition(".")[0]
    return NOT_BUILT.get(family, f"this agent has no executor for {task_type!r}")
