"""The dispatcher: one loop that leases waiting tasks to seats with free capacity and hands them over."""

from collections.abc import Callable, Sequence
from typing import Protocol

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.settings import WorkSettings
from stellwerk.work.requirements import Form
from stellwerk.work.seats import Seats
from stellwerk.work.task import Assignment, Holder, Waiting


class Source(Protocol):
    """What the dispatcher needs of the queue."""

    def lease_heads(
        self,
        queues: Sequence[str],
        limit: int,
        choose: Callable[[Waiting], Holder | None],
        now_us: int,
        ack_deadline_us: int,
    ) -> Unit[list[Assignment]]:
        """Lease ready heads in rank order across the queues. A queue for which `choose` says None is left alone
        for the rest of the unit. May call `choose` on another thread."""
        ...

    def waiting_queues(self) -> Unit[list[tuple[str, int]]]:
        """List the queues that have ready tasks, with the rank of their heads. Cost: one index look-up a queue."""
        ...

    def form_of(self, queue_key: str) -> Form | None:
        """Return the requirement form of a queue from memory."""
        ...

    def group_of(self, queue_key: str) -> str | None:
        """Return the named group of a queue, None where any group will do."""
        ...

    async def hand_back(self, assignments: Sequence[Assignment]) -> None:
        """Queue again what could not be handed over, without counting an attempt."""
        ...


class Dispatcher:
    """See the module. Start and stop are idempotent."""

    def __init__(
        self, database: Database, seats: Seats, source: Source, *, clock: Clock, settings: WorkSettings
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Look at what waits in the database, then follow."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Finish the transaction in flight, hand over or hand back its leases, and end."""
        raise NotImplementedError

    def submitted(self, queue_key: str, rank_at: int) -> None:
        """Learn of a ready task: after the commit of a submit, a requeue, or when a delayed one is due."""
        raise NotImplementedError

    def rescan(self) -> None:
        """Look at the database again for waiting queues: another replica gave a hint."""
        raise NotImplementedError
