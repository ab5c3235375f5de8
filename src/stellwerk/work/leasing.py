"""Give waiting tasks to holders: one unit of work serves dispatch and claims."""

from collections.abc import Callable, Sequence

import msgspec

from stellwerk.database.unit import Unit
from stellwerk.work.task import Assignment, Holder, Waiting


class LeasedHeads(msgspec.Struct, frozen=True):
    """What one look at the heads of some queues gave."""

    assignments: list[Assignment]
    """Leased now, in rank order."""
    drained: list[str]
    """Queues that have no ready task left; hand them to `WaitingQueues.drained`."""


def lease_heads(
    queue_keys: Sequence[str],
    limit: int,
    choose: Callable[[Waiting], Holder | None],
    *,
    now_us: int,
    ack_deadline_us: int,
) -> Unit[LeasedHeads]:
    """Lease the first ready tasks of these queues, in rank order over all of them, to the holders that are chosen.

    `choose` is called once per task, within the unit: on SQLite that is the writer's thread, and a unit that is tried
    again calls it again, so it works on a snapshot of its own. None says that nobody can take from this queue now: the
    unit leaves the queue at that. At most `limit` tasks are leased.
    """
    raise NotImplementedError
    yield
