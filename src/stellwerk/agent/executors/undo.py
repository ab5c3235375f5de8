"""Undo what a task has begun on the engine, after it failed, was cancelled or ran out of time."""

from __future__ import annotations

import asyncio

from stellwerk.agent.executors.engine import Engine, open_engine
from stellwerk.agent.executors.executor import (
    CLEANUP_LIMIT_S,
    TASK_LABEL,
    Failed,
    Job,
    Report,
)
from stellwerk.agent.executors.replacement import Replacement, resumed
from stellwerk.agent.executors.settings import ExecutorSettings


async def undone(settings: ExecutorSettings, job: Job, report: Report, end: Exception) -> None:
    """Roll back every replacement of the task; what cannot be undone is told in the log and in the result.

    It opens a conversation of its own: the one that failed may be what failed.
    """
    try:
        async with asyncio.timeout(CLEANUP_LIMIT_S), open_engine(settings.docker_host) as engine:
            changes = await replacements(engine, job.task_id, report)
            returned = [await change.rollback() for change in reversed(changes)]
    except (Failed, TimeoutError) as failure:
        trouble = getattr(failure, "message", f"it took longer than {CLEANUP_LIMIT_S:g} s")
        report.log("error", f"could not undo what the task had begun: {trouble}")
        if isinstance(end, Failed):
            end.result["undone"] = False
        return
    if isinstance(end, Failed) and changes:
        end.result["undone"] = all(returned)


async def replacements(engine: Engine, task_id: str, report: Report) -> list[Replacement]:
    """Find what a task has begun, oldest first."""
    listed = await engine.get("/containers/json", all=True, filters={"label": [f"{TASK_LABEL}={task_id}"]})
    found = [await engine.inspect(one["Id"]) for one in listed]
    there = [one for one in found if one is not None]
    return [resumed(engine, report, one) for one in sorted(there, key=lambda one: str(one["Created"]))]
