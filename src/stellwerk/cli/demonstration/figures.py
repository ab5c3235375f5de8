"""What the demo counts.

Live from the event stream, and at the end from the list of tasks, which is the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stellwerk.sdk import Event, Task


@dataclass(slots=True)
class Live:
    """The state of the run as its events tell it."""

    wanted: int
    submitted: int = 0
    succeeded: int = 0
    failed: int = 0
    given_again: int = 0
    done_by: Counter[str] = field(default_factory=Counter)
    in_hand: dict[str, str] = field(default_factory=dict)
    """Task id to the agent that holds it."""

    def take(self, event: Event) -> None:
        """Count one event."""
        task = event.task or ""
        match event.kind:
            case "task.submitted":
                self.submitted += 1
            case "task.leased":
                self.in_hand[task] = event.group or ""
            case "task.succeeded":
                self.succeeded += 1
                self.done_by[self.in_hand.pop(task, event.group or "")] += 1
            case "task.requeued":
                self.given_again += 1
                self.in_hand.pop(task, None)
            case "task.failed" | "task.dead" | "task.cancelled":
                self.failed += 1
                self.in_hand.pop(task, None)
            case _:
                pass

    @property
    def finished(self) -> int:
        """How many tasks have come to their end."""
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class Summary:
    """The run as a whole; times in seconds."""

    submitted: int
    completed: int
    failed: int
    lost: int
    retried: int
    per_worker: dict[str, int]
    wrong_results: int
    checked_results: int
    took_s: float
    latency_p50_s: float
    latency_p99_s: float
    delivery_p50_s: float
    delivery_p99_s: float

    @property
    def flawless(self) -> bool:
        """Whether every submitted task brought its result."""
        return not (self.failed or self.lost or self.wrong_results) and self.completed == self.submitted

    @property
    def tasks_per_s(self) -> float:
        """Completed tasks a second, from the first submission to the last result."""
        return self.completed / self.took_s if self.took_s else 0.0


def summarise(submitted: Sequence[str], tasks: Sequence[Task], *, checked: int, wrong: int) -> Summary:
    """Compare what was acknowledged with what the control plane has."""
    known = {task.task_id: task for task in tasks}
    mine = [known[task_id] for task_id in submitted if task_id in known]
    completed = [task for task in mine if task.state == "succeeded"]
    ended = [task.finished_at for task in mine if task.finished_at]
    begun = [task.submitted_at for task in mine if task.submitted_at]
    latencies = [_seconds(task.submitted_at, task.finished_at) for task in completed]
    deliveries = [_seconds(task.submitted_at, task.leased_at) for task in completed if task.attempt == 1]
    return Summary(
        submitted=len(submitted),
        completed=len(completed),
        failed=sum(task.state in ("failed", "dead", "cancelled") for task in mine),
        lost=len(submitted) - sum(task.finished for task in mine),
        retried=sum(task.attempt > 1 for task in mine),
        per_worker=dict(sorted(Counter(task.assigned_agent or "?" for task in completed).items())),
        wrong_results=wrong,
        checked_results=checked,
        took_s=(max(ended) - min(begun)).total_seconds() if ended and begun else 0.0,
        latency_p50_s=percentile(latencies, 0.50),
        latency_p99_s=percentile(latencies, 0.99),
        delivery_p50_s=percentile(deliveries, 0.50),
        delivery_p99_s=percentile(deliveries, 0.99),
    )


def _seconds(start: datetime | None, end: datetime | None) -> float:
    return (end - start).total_seconds() if start and end else 0.0


def percentile(values: Sequence[float], part: float) -> float:
    """Return the value below which that part of the values lies (nearest rank); 0 for none."""
    if not values:
        return 0.0
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]
