"""What is left of a campaign on agents, as plain values, and how it is gathered."""

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import msgspec
from bench.seeds import call

from e2e.agents.kinds import Kinds, file_says, sticker_says
from e2e.agents.plane import Machine, Plane
from e2e.kills.evidence import Evidence
from e2e.kills.ledger import Acknowledged, Execution
from stellwerk.agent.executors.engine import open_engine
from stellwerk.agent.executors.executor import TASK_LABEL
from support.container_lab import Lab

Mend = Callable[[], object]

JOURNAL = "SELECT task_id, attempt, lease, state, outcome FROM tasks"


class End(msgspec.Struct, frozen=True):
    """How a task ended, as the agents' interface shows it."""

    kind: str
    status: str
    result: Any = None
    error_type: str | None = None
    target: str | None = None
    """The name of the container that it was to start."""


class JournalRow(msgspec.Struct, frozen=True):
    """What an agent remembers of a task."""

    agent: str
    task_id: str
    attempt: int
    lease: int
    state: str
    outcome: dict[str, Any] | None


class Container(msgspec.Struct, frozen=True):
    """A container that is there at the end."""

    name: str
    task_id: str
    running: bool


@dataclass(frozen=True, slots=True)
class AgentEvidence:
    """Everything that the checker may look at."""

    shared: Evidence
    """As in the campaign on workers; its executions are the lines of commands and containers."""
    ends: dict[str, End]
    journals: list[JournalRow]
    cancelled: set[str]
    """Tasks that somebody asked to cancel."""
    containers: list[Container] = field(default_factory=list)
    written: set[str] = field(default_factory=set)
    """Tasks whose sticker or file is there and says what it should."""


def ends(plane: Plane, task_ids: Iterable[str]) -> dict[str, End]:
    """Ask for every task."""
    found = {}
    for task_id in task_ids:
        shown = call(plane, "GET", f"/api/v1/tasks/{task_id}")
        error, target = shown["error"] or {}, shown["payload"].get("name")
        found[task_id] = End(shown["taskType"], shown["status"], shown["result"], error.get("type"), target)
    return found


def journal(machine: Machine) -> list[JournalRow]:
    """Read one agent's journal."""
    return [
        JournalRow(machine.name, task_id, attempt, lease, state, json.loads(outcome) if outcome else None)
        for task_id, attempt, lease, state, outcome in ask(machine, JOURNAL)
    ]


def settled(machine: Machine) -> int:
    """Count the tasks whose end an agent knows to be known."""
    return int(ask(machine, "SELECT count(*) FROM tasks WHERE state = 'settled'")[0][0])


def ask(machine: Machine, statement: str) -> list[tuple[Any, ...]]:
    """Read an agent's journal behind its back."""
    connection = sqlite3.connect(f"file:{machine.journal}?mode=ro", uri=True)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def executions(kinds: Kinds, acknowledged: Iterable[Acknowledged]) -> list[Execution]:
    """Read the lines of commands and containers."""
    tasks = {entry.key: entry.task_id for entry in acknowledged}
    lines = kinds.runs.read_text().splitlines() if kinds.runs.exists() else []
    return [
        Execution(cast(Literal["begin", "end"], what), tasks.get(key, f"(unknown: {key})"), 0, number, "")
        for what, key, number in (line.split() for line in lines)
    ]


def written(kinds: Kinds, machines: Iterable[Machine], acknowledged: Iterable[Acknowledged]) -> set[str]:
    """Name the tasks whose sticker or file is there and says what it should."""
    homes = [machine.home for machine in machines]
    return {
        entry.task_id
        for entry in acknowledged
        if any(sticker_says(home, entry.key) for home in homes) or file_says(kinds.evidence, entry.key)
    }


async def containers(lab: Lab, mark: str) -> list[Container]:
    """List a campaign's containers."""
    async with open_engine(lab.docker_host) as engine:
        listed = await engine.get("/containers/json", all=True)
    found = [
        Container(
            one["Names"][0].removeprefix("/"), one["Labels"].get(TASK_LABEL, ""), one["State"] == "running"
        )
        for one in listed
    ]
    return [one for one in found if one.name.startswith(f"{mark}-")]


async def remove_containers(lab: Lab, mark: str) -> None:
    """Leave none of a campaign's containers."""
    async with open_engine(lab.docker_host) as engine:
        for one in await containers(lab, mark):
            await engine.delete(f"/containers/{one.name}", force=True)
