"""One task in the agent's hands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from stellwerk.agent.executors.executor import Job
from stellwerk.agent.journal import Entry
from stellwerk.agent.masking import Masks
from stellwerk.agent.narration import Narration
from stellwerk.agent.outcome import Outcome
from stellwerk.agent.uplink import Delivery
from stellwerk.agent.wire import Task

DEFAULT_TIMEOUT_S = 300.0


class Phase(StrEnum):
    """How far it has come; the words that heartbeats use."""

    WAITING = "waiting"
    """For a free place."""
    ACCEPTING = "accepting"
    """Until the server has written the acceptance down."""
    RUNNING = "running"
    REPORTING = "reporting"
    """Done; the server does not know yet."""


@dataclass(slots=True)
class Run:
    """What the runner knows of it. `delivery` may be replaced by a newer one while the same work goes on."""

    delivery: Delivery
    job: Job
    idempotent: bool
    masks: Masks
    narration: Narration
    generation: int
    """Of the uplink's streams, when it was begun."""
    phase: Phase = Phase.WAITING
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    entry: Entry | None = None
    """What an earlier process left; None for one that was received by this process."""
    outcome: Outcome | None = None
    carrying: asyncio.Task[None] | None = None

    @property
    def is_begun(self) -> bool:
        """Whether the server should count on it: only what is listed to it keeps its lease."""
        return self.phase in (Phase.RUNNING, Phase.REPORTING)


def job_of(task: Task) -> Job:
    """Make an executor's job of a delivered task."""
    return Job(
        task_id=task.task_id,
        attempt=task.attempt,
        task_type=task.task_type,
        payload=task.payload,
        credentials=task.credentials,
        timeout_s=DEFAULT_TIMEOUT_S if task.timeout is None else task.timeout,
    )


def delivery_of(known: Task | Entry) -> Delivery:
    """Name a handing over."""
    return Delivery(known.task_id, known.attempt, known.lease)
