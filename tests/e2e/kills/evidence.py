"""What is left after the kills, as plain values: handed to the checker, whatever engine it came from."""

from dataclasses import dataclass, field

import msgspec

from e2e.kills.ledger import Acknowledged, Execution

FINISHED = frozenset({"succeeded", "failed", "cancelled", "dead"})


class TaskRow(msgspec.Struct, frozen=True):
    """A task as a table or the API shows it."""

    task_id: str
    state: str
    reason: str | None
    attempt: int
    repeatable: bool
    fence: int = 0
    """Only the table has it."""


class EventRow(msgspec.Struct, frozen=True):
    """An event of a task, in the journal's order. `fence` and `attempt` are None where it does not say."""

    kind: str
    task_id: str
    fence: int | None = None
    attempt: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the checker may look at."""

    acknowledged: list[Acknowledged]
    executions: list[Execution]
    api_tasks: dict[str, TaskRow]
    results: dict[str, str | None]
    """The nonce in the result, by task; None where there is no result."""
    table_tasks: dict[str, TaskRow]
    api_events: list[EventRow]
    table_events: list[EventRow]
    counters: dict[str, int] = field(default_factory=dict)
