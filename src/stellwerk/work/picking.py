"""Take work for one holder: the next of some queues, or knowingly a certain task.

Claims give a holder the next task. A deployment agent may also look first and then take the task that it
saw.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Sql, Unit
from stellwerk.work.effects import Effects
from stellwerk.work.forms import Forms
from stellwerk.work.lease import Terms
from stellwerk.work.leasing import lease_heads, lease_one
from stellwerk.work.matching import Attributes, matches
from stellwerk.work.reading import read_held
from stellwerk.work.refusals import NotPossible, NotYours, UnknownTask
from stellwerk.work.requirements import split_queue_key
from stellwerk.work.seats import Seats
from stellwerk.work.states import State
from stellwerk.work.task import Assignment, Holder
from stellwerk.work.waiting import WaitingQueues

QUEUES_AT_ONCE = 64
"""Queues that one look goes through: each costs an index look-up."""

_HEADS = """
SELECT rank_at, task_id, task_type, priority, submitted_at FROM tasks
WHERE queue_key = $1 AND state = 'queued' AND delayed = 0 ORDER BY rank_at, task_id LIMIT $2"""
_STANDING = "SELECT state, queue_key FROM tasks WHERE task_id = $1"


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A waiting task as somebody sees it who may take it."""

    task_id: str
    task_type: str
    priority: int
    submitted_at: int


class Picking:
    """See the module. All methods belong to the event loop and may raise DatabaseUnavailable."""

    def __init__(
        self,
        database: Database,
        waiting: WaitingQueues,
        forms: Forms,
        *,
        seats: Seats,
        effects: Effects,
        terms: Terms,
        clock: Clock,
    ) -> None:
        self._database = database
        self._waiting = waiting
        self._forms = forms
        self._seats = seats
        self._effects = effects
        self._terms = terms
        self._clock = clock
        self._watchers: dict[asyncio.Event, Callable[[str], bool]] = {}
        waiting.on_shown(self._shown)

    async def peek(
        self, group: str, attributes: Attributes, limit: int = 100, wait_s: float = 0.0
    ) -> list[Seen]:
        """Return what the holder could take now, first come first; wait up to `wait_s` for something."""

        def suits(queue_key: str) -> bool:
            return self._suits(queue_key, group, attributes)

        woken = asyncio.Event()
        ends_at = asyncio.get_running_loop().time() + wait_s
        self._watchers[woken] = suits
        try:
            while True:
                woken.clear()
                seen = await self._peek(group, suits, limit)
                left = ends_at - asyncio.get_running_loop().time()
                if seen or left <= 0:
                    return seen
                try:
                    async with asyncio.timeout(left):
                        await woken.wait()
                except TimeoutError:
                    return []
        finally:
            del self._watchers[woken]

    async def take(self, holder: Holder, attributes: Attributes, task_id: str) -> Assignment:
        """Lease this very task; again: the same lease.

        Raises UnknownTask, NotYours where the holder does not match, NotPossible where it does not wait.
        """

        def suits(queue_key: str) -> bool:
            return self._suits(queue_key, holder.group, attributes)

        def unit() -> Unit[Assignment]:
            rows = yield Sql(_STANDING, (task_id,))
            if not rows:
                raise UnknownTask(task_id)
            state, queue_key = State(rows[0][0]), rows[0][1]
            if state is State.QUEUED and not suits(queue_key):
                raise NotYours(task_id)
            taken = yield from lease_one(
                task_id, holder, now_us=self._clock.now_us(), ack_deadline_us=self._terms.acknowledge_us
            )
            held = [] if taken else [one for one in (yield from read_held(holder)) if one.task_id == task_id]
            found = taken or (held[0] if held else None)
            if found is None or found.state is State.CANCELLING:
                raise NotPossible(task_id, state, "claimed")
            return found

        taken = await self._database.write(unit)
        self._seats.hold(holder, taken.task_id, taken.fence)
        self._effects.appended()
        return taken

    async def take_heads(self, holder: Holder, queue_keys: Sequence[str], limit: int) -> list[Assignment]:
        """Lease up to `limit` heads of these queues, whatever they are: what claims do."""
        now_us = self._clock.now_us()
        revision = self._waiting.revision
        found = await self._database.write(
            lambda: lease_heads(
                queue_keys,
                limit,
                lambda _: holder,
                now_us=now_us,
                ack_deadline_us=self._terms.acknowledge_us,
            )
        )
        self._waiting.drained(found.drained, revision)
        for assignment in found.assignments:
            self._seats.hold(holder, assignment.task_id, assignment.fence)
        if found.assignments:
            self._effects.appended()
        return found.assignments

    async def _peek(self, group: str, suits: Callable[[str], bool], limit: int) -> list[Seen]:
        keys = [key for key in (*self._waiting.named(group), *self._waiting.shared()) if suits(key)]
        if not keys:
            return []
        return await self._database.read(lambda: _read_heads(keys[:QUEUES_AT_ONCE], limit))

    def _suits(self, queue_key: str, group: str, attributes: Attributes) -> bool:
        form_id, named = split_queue_key(queue_key)
        form = self._forms.get(form_id)
        return form is not None and named in (None, group) and matches(form, attributes)

    def _shown(self, queue_key: str) -> None:
        for woken, suits in self._watchers.items():
            if suits(queue_key):
                woken.set()


def _read_heads(queue_keys: Sequence[str], limit: int) -> Unit[list[Seen]]:
    found = []
    for queue_key in queue_keys:
        found += yield Sql(_HEADS, (queue_key, limit))
    return [Seen(*row[1:]) for row in sorted(map(tuple, found))[:limit]]
