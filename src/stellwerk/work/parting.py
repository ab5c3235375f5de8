"""Part from a holder that is gone for good: nothing that it had, or that only it could do, may wait for it.

What it had begun ends as lost or, where that is allowed, goes to somebody else like what it had not begun.
What was meant for it by name fails, unless somebody has its place now: then it waits for that one.
"""

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Sql, Unit
from stellwerk.work import lifecycle
from stellwerk.work.cancelling import CLEAR_STEP
from stellwerk.work.effects import Effects
from stellwerk.work.lease import Terms
from stellwerk.work.lifecycle import Change
from stellwerk.work.reading import read_held
from stellwerk.work.requirements import split_queue_key
from stellwerk.work.settling import Forgotten, kept_result, settle_tasks
from stellwerk.work.states import State
from stellwerk.work.store import StoredResult, load_live, write_changes
from stellwerk.work.task import Holder
from stellwerk.work.waiting import WaitingQueues

_QUEUED = "SELECT task_id FROM tasks WHERE queue_key = $1 AND state = 'queued' AND delayed = $3 LIMIT $2"
# What is delayed has no flag in memory. An agent is removed seldom, so its queues are looked for.
_DELAYED = """
SELECT DISTINCT queue_key FROM tasks WHERE state = 'queued' AND delayed = 1 AND queue_key LIKE '%@%'"""


class Parting:
    """See the module. May raise DatabaseUnavailable; then the same again is right."""

    def __init__(
        self, database: Database, waiting: WaitingQueues, effects: Effects, *, terms: Terms, clock: Clock
    ) -> None:
        self._database = database
        self._waiting = waiting
        self._effects = effects
        self._terms = terms
        self._clock = clock

    async def part_from(self, holder: Holder, *, succeeded: bool = False) -> None:
        """Take back what the holder has, and end what only it could do unless it is `succeeded`."""
        now_us = self._clock.now_us()
        given_up = await self._database.write(lambda: _give_up(holder, now_us, self._terms))
        self._effects.changed(given_up)
        if succeeded:
            return
        keys = set(self._waiting.named(holder.group))
        keys |= {change.after.queue_key for change in given_up}
        keys |= set(await self._database.read(_delayed_queues))
        for queue_key in keys:
            if split_queue_key(queue_key)[1] == holder.group:
                await self._abandon(queue_key, holder)

    async def _abandon(self, queue_key: str, holder: Holder) -> None:
        while True:
            now_us = self._clock.now_us()
            changes, results = await self._database.write(
                lambda now_us=now_us: _abandon_some(queue_key, holder.group, now_us),  # type: ignore[misc]
                aside=True,
            )
            self._effects.changed(changes, results)
            if len(changes) < CLEAR_STEP:
                return


def _give_up(holder: Holder, now_us: int, terms: Terms) -> Unit[list[Change]]:
    held = yield from read_held(holder)
    messages = [Forgotten(holder, one.task_id, one.fence, 0.0) for one in held]
    answers = yield from settle_tasks(messages, now_us, terms)
    return [answer for answer in answers if isinstance(answer, Change)]


def _delayed_queues() -> Unit[list[str]]:
    return [row[0] for row in (yield Sql(_DELAYED))]


def _abandon_some(
    queue_key: str, group: str, now_us: int
) -> Unit[tuple[list[Change], dict[str, StoredResult]]]:
    task_ids = []
    for delayed in (0, 1):
        task_ids += [row[0] for row in (yield Sql(_QUEUED, (queue_key, CLEAR_STEP, delayed)))]
    error = {"type": "agent.removed", "message": f"The agent {group!r}, which it was meant for, was removed"}
    text = msgspec.json.encode(error).decode()
    tasks = yield from load_live(task_ids[:CLEAR_STEP])
    changes = [
        Change(task, lifecycle.abandon(task, now_us))
        for task in tasks.values()
        if task.state is State.QUEUED  # One that was leased meanwhile is given up with its lease.
    ]
    kept = [kept_result(one.after.task_id, error=text, limit=len(text) * 4) for one in changes]
    results = {one.task_id: one for one in kept}
    yield from write_changes(changes, kept, now_us)
    return changes, results
