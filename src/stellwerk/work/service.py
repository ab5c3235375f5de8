"""The queue's use cases behind one door."""

from collections.abc import Iterable, Sequence

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.settings import WorkSettings
from stellwerk.trust.principal import Principal
from stellwerk.work.matching import Attributes
from stellwerk.work.task import (
    Assignment,
    Holder,
    LogLine,
    Outcome,
    Settled,
    Standing,
    Submission,
    Submitted,
    Task,
    TaskFilter,
    TaskLog,
    TaskPage,
    WorkStats,
)


class Work:
    """Submit, claim, report, settle, read. Every method may raise DatabaseUnavailable."""

    def __init__(
        self, database: Database, journal: Journal, fleet: object, settings: WorkSettings, clock: Clock
    ) -> None: ...

    async def start(self) -> None:
        """Read what waits and begin to dispatch and sweep; may be called more than once."""

    async def stop(self) -> None:
        """Stop dispatching and sweeping, write what is pending; may be called more than once."""

    async def submit(self, principal: Principal, submission: Submission) -> Submitted:
        """Queue a task; it is durable on return. Raises InvalidPriority, InvalidTask, IdempotencyConflict, QueueFull, TooManyForms."""
        raise NotImplementedError

    async def claim(
        self, holder: Holder, attributes: Attributes, limit: int = 1, wait_s: float = 0.0
    ) -> list[Assignment]:
        """Lease up to `limit` tasks that the holder matches; wait up to `wait_s` for the first. First come, first served."""
        raise NotImplementedError

    async def held(self, holder: Holder) -> list[Assignment]:
        """Return the leases that this holder has now (for a worker that comes back)."""
        raise NotImplementedError

    async def acknowledge(self, holder: Holder, task_id: str, fence: int) -> Standing:
        """Record that the holder begins; durable on return. Again: the same answer. Raises UnknownTask, LeaseLost."""
        raise NotImplementedError

    async def progress(
        self, holder: Holder, task_id: str, fence: int, fraction: float, note: str | None = None
    ) -> Standing:
        """Record how far the attempt is (0 to 1, never back) and renew the lease; written in batches. Raises UnknownTask, LeaseLost."""
        raise NotImplementedError

    async def log(self, holder: Holder, task_id: str, fence: int, lines: Sequence[LogLine]) -> Standing:
        """Keep log lines and renew the lease; written in batches. Raises UnknownTask, LeaseLost."""
        raise NotImplementedError

    async def complete(self, holder: Holder, task_id: str, fence: int, result: str) -> Settled:
        """End the task with a result (JSON text). Raises UnknownTask, LeaseLost, ConflictingResult, TooLarge."""
        raise NotImplementedError

    async def fail(
        self, holder: Holder, task_id: str, fence: int, error: str, *, retryable: bool = True
    ) -> Settled:
        """End the attempt with an error (JSON text): retried later, failed or dead. Raises as `complete`."""
        raise NotImplementedError

    async def hand_back(self, holder: Holder, task_id: str, fence: int) -> Settled:
        """Give the task back unfinished; the attempt does not count. Raises UnknownTask, LeaseLost."""
        raise NotImplementedError

    async def confirm_cancelled(self, holder: Holder, task_id: str, fence: int) -> Settled:
        """Record that the holder stopped as asked. Raises UnknownTask, LeaseLost, NotPossible."""
        raise NotImplementedError

    async def cancel(self, principal: Principal, task_id: str) -> Settled:
        """Cancel a waiting task, or ask its holder to stop. Again: the same answer. Raises UnknownTask, NotYours, NotPossible."""
        raise NotImplementedError

    async def requeue(self, principal: Principal, task_id: str) -> Settled:
        """Queue a failed, dead or cancelled task again, with all attempts. Raises UnknownTask, NotYours, NotPossible, QueueFull."""
        raise NotImplementedError

    async def clear(self, principal: Principal, priority_class: str) -> int:
        """Cancel what waits in a priority class (its lower-case name), in steps; return how many. Raises InvalidPriority."""
        raise NotImplementedError

    async def get(self, task_id: str) -> Task:
        """Return a task with its data and result. Raises UnknownTask."""
        raise NotImplementedError

    async def list(self, filters: TaskFilter, cursor: str | None = None, limit: int = 100) -> TaskPage:
        """Return tasks, newest first. Raises InvalidCursor."""
        raise NotImplementedError

    async def result(self, task_id: str, wait_s: float = 0.0) -> Outcome:
        """Return how the task stands, waiting up to `wait_s` for its end. Raises UnknownTask."""
        raise NotImplementedError

    async def logs(
        self, task_id: str, after_seq: int = -1, attempt: int | None = None, limit: int = 1000
    ) -> TaskLog:
        """Return the log lines of an attempt (None: the last one) after a sequence number. Raises UnknownTask."""
        raise NotImplementedError

    async def stats(self) -> WorkStats:
        """Return counters and queue sizes."""
        raise NotImplementedError

    async def queue_sizes(self) -> dict[str, int]:
        """Return the number of waiting tasks per priority class."""
        raise NotImplementedError

    async def heartbeat(self, holder: Holder) -> None:
        """Renew this holder's running leases; written in batches."""

    async def shorten(self, holders: Iterable[Holder]) -> None:
        """Let the leases of holders whose connection broke end within the reconnect grace."""

    # `connect(seat)`, `disconnect(seat)`: push-style delivery, see seats.py.
