"""Give waiting tasks to holders: one unit of work serves dispatch and claims."""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from stellwerk.database.unit import Many, PerEngine, Row, Sql, Unit, Value
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append_many
from stellwerk.work.counting import QUEUED_COUNTER, STATE_COUNTER, add_up
from stellwerk.work.events import event_data
from stellwerk.work.lease import Terms, running_until
from stellwerk.work.states import State
from stellwerk.work.task import Assignment, Holder, Waiting

_TASK = """
SELECT t.rank_at, t.task_id, t.form_id, t.target_group, t.priority, t.submitted_at, t.task_type, p.preferred,
t.attempt, t.fence, p.task_data, p.requirements, t.priority_name, t.repeatable, t.deadline_at, t.timeout_us,
t.not_before, t.principal, t.application
FROM tasks t JOIN task_payloads p ON p.task_id = t.task_id"""
_HEADS = f"""{_TASK}
WHERE t.queue_key = $1 AND t.state = 'queued' AND t.delayed = 0 AND (t.rank_at, t.task_id) > ($3, $4)
ORDER BY t.rank_at, t.task_id LIMIT $2"""
# A task that another replica is about to lease is passed by instead of waited for.
HEADS = PerEngine(_HEADS, _HEADS + " FOR UPDATE OF t SKIP LOCKED")

_HEAD = f"""{_TASK}
WHERE t.task_id = $1 AND t.state = 'queued' AND t.delayed = 0"""
_ONE = PerEngine(_HEAD, _HEAD + " FOR UPDATE OF t")

_LEASE = """
UPDATE tasks SET state = 'leased', reason = NULL, attempt = attempt + 1, fence = fence + 1, leased_at = $2,
started_at = NULL, lease_expires_at = $3, holder_group = $4, holder_instance = $5, progress = NULL,
progress_note = NULL WHERE task_id = $1"""
_LEASE_BEGUN = _LEASE.replace("'leased'", "'running'").replace("started_at = NULL", "started_at = $2")

# One index look-up for each queue, however many tasks wait in it.
_WAITING = """
WITH RECURSIVE found (queue_key) AS (
  SELECT * FROM (
    SELECT queue_key FROM tasks WHERE state = 'queued' AND delayed = 0 ORDER BY queue_key LIMIT 1) AS lowest
  UNION ALL
  SELECT (SELECT t.queue_key FROM tasks t WHERE t.state = 'queued' AND t.delayed = 0
          AND t.queue_key > found.queue_key ORDER BY t.queue_key LIMIT 1)
  FROM found WHERE found.queue_key IS NOT NULL)
SELECT queue_key, (SELECT t.rank_at FROM tasks t WHERE t.state = 'queued' AND t.delayed = 0
                   AND t.queue_key = found.queue_key ORDER BY t.rank_at LIMIT 1)
FROM found WHERE queue_key IS NOT NULL"""

_READY = """
SELECT looked.queue_key FROM {looked} WHERE EXISTS (
  SELECT 1 FROM tasks t WHERE t.queue_key = looked.queue_key AND t.state = 'queued' AND t.delayed = 0)"""
_STILL_READY = PerEngine(
    _READY.format(looked="(SELECT value AS queue_key FROM json_each($1)) AS looked"),
    _READY.format(looked="jsonb_array_elements_text($1::jsonb) AS looked (queue_key)"),
)

_BEFORE_ALL = -(2**63)


class Beginning(NamedTuple):
    """Whose tasks count as begun when they are leased, because nobody will say that they are."""

    begins: Callable[[Holder], bool]
    terms: Terms


class LeasedHeads(msgspec.Struct, frozen=True, gc=False):
    """What one look at the heads of some queues gave."""

    assignments: list[Assignment]
    """Leased now, in rank order."""
    drained: list[str]
    """Queues that have no ready task left; hand them to `WaitingQueues.drained`."""
    overdue: frozenset[str] = frozenset()
    """Queues whose first tasks are past their deadline: they stand until the sweep was there."""


def lease_heads(
    queue_keys: Sequence[str],
    limit: int,
    choose: Callable[[Waiting], Holder | None],
    *,
    now_us: int,
    ack_deadline_us: int,
    beginning: Beginning | None = None,
) -> Unit[LeasedHeads]:
    """Lease the first ready tasks of these queues, in rank order over all of them, to the holders that are
    chosen.

    `choose` is called once per task, within the unit: on SQLite that may be a thread, and a unit
    that is tried again calls it again, so it works on a snapshot of its own. None says that nobody can take
    from this queue now: the unit leaves the queue at that. At most `limit` tasks are leased.
    """
    leased: list[tuple[Row, Assignment]] = []
    heads = _Heads(limit, len(queue_keys))
    expires_at = now_us + ack_deadline_us
    yield from heads.open(queue_keys)
    while heads.order and len(leased) < limit:
        queue_key, row = heads.first()
        if row[14] is not None and row[14] <= now_us:
            yield from heads.advance()  # Past its deadline: the sweep will fail it, nobody shall begin it.
            heads.overdue.add(queue_key)
            continue
        holder = choose(_waiting_of(queue_key, row))
        if holder is None:
            heads.leave()
            continue
        assignment = _assignment_of(row, holder, expires_at)
        if beginning is not None and beginning.begins(holder):
            until = running_until(now_us, now_us, assignment.timeout_us, beginning.terms)
            assignment = replace(assignment, state=State.RUNNING, lease_expires_at=until)
        leased.append((row, assignment))
        yield from heads.advance(more=len(leased) < limit)
    if leased:
        yield from _write_leases(leased, now_us)
    ended = [queue_key for queue_key in heads.ended() if queue_key not in heads.overdue]
    assignments = [assignment for _, assignment in leased]
    drained = (yield from _drained(ended)) if ended else ended
    return LeasedHeads(assignments, drained, frozenset(heads.overdue))


def lease_one(task_id: str, holder: Holder, *, now_us: int, ack_deadline_us: int) -> Unit[Assignment | None]:
    """Lease this very task, whether or not the holder matches; None if it does not wait (any more)."""
    rows = yield Sql(_ONE, (task_id,))
    if not rows or (rows[0][14] is not None and rows[0][14] <= now_us):
        return None
    assignment = _assignment_of(rows[0], holder, now_us + ack_deadline_us)
    yield from _write_leases([(rows[0], assignment)], now_us)
    return assignment


def waiting_queues() -> Unit[list[tuple[str, int]]]:
    """Return the queues that have ready tasks, with the rank of their heads."""
    rows = yield Sql(_WAITING)
    return [(row[0], row[1]) for row in rows]


class _Heads:
    """The queues' first tasks merged by rank, read in chunks."""

    def __init__(self, limit: int, queues: int) -> None:
        # Read little more than will be leased: of many queues each is likely to give only its share.
        self._chunk = max(1, min(limit, limit // max(queues, 1) + 4))
        self._most = max(1, limit)
        self._rows: dict[str, list[Row]] = {}
        self._next: dict[str, int] = {}
        self._ended: set[str] = set()
        self.order: list[tuple[int, str, str]] = []
        """(rank, task, queue) of each queue's head: a heap."""
        self._done: list[str] = []
        self.overdue: set[str] = set()

    def open(self, queue_keys: Sequence[str]) -> Unit[None]:
        for queue_key in queue_keys:
            if (yield from self._read(queue_key, self._chunk, _BEFORE_ALL, "")):
                head = self._rows[queue_key][0]
                self.order.append((head[0], head[1], queue_key))
        heapify(self.order)

    def first(self) -> tuple[str, Row]:
        queue_key = self.order[0][2]
        return queue_key, self._rows[queue_key][self._next[queue_key]]

    def ended(self) -> list[str]:
        """Return the queues of which all was taken that was read."""
        return list(dict.fromkeys(self._done))

    def leave(self) -> None:
        """Take no more from the first queue, although it has tasks."""
        heappop(self.order)

    def advance(self, *, more: bool = True) -> Unit[None]:
        """Go on to the first queue's next task; without `more`, only as far as it has been read."""
        rank, task_id, queue_key = self.order[0]
        self._next[queue_key] += 1
        rows = self._rows[queue_key]
        if self._next[queue_key] == len(rows):
            known = queue_key in self._ended or not more
            if known or not (yield from self._read(queue_key, self._most, rank, task_id)):
                heappop(self.order)
                self._done.append(queue_key)
                return
        head = self._rows[queue_key][self._next[queue_key]]
        heapreplace(self.order, (head[0], head[1], queue_key))

    def _read(self, queue_key: str, chunk: int, rank: int, task_id: str) -> Unit[bool]:
        rows = yield Sql(HEADS, (queue_key, chunk, rank, task_id))
        self._rows[queue_key], self._next[queue_key] = rows, 0
        if len(rows) < chunk:
            self._ended.add(queue_key)
            if not rows:
                self._done.append(queue_key)
        return bool(rows)


def _drained(ended: list[str]) -> Unit[list[str]]:
    """Leave out queues that have more, or tasks that were passed by because another replica looks at them."""
    rows = yield Sql(_STILL_READY, (msgspec.json.encode(ended).decode(),))
    ready = {row[0] for row in rows}
    return [queue_key for queue_key in ended if queue_key not in ready]


def _waiting_of(queue_key: str, row: Row) -> Waiting:
    preferred = tuple(msgspec.json.decode(row[7])) if row[7] else ()
    return Waiting(row[1], queue_key, row[2], row[3], row[4], row[0], row[5], row[6], preferred)


def _assignment_of(row: Row, holder: Holder, expires_at: int) -> Assignment:
    return Assignment(
        row[1],
        row[8] + 1,
        row[9] + 1,
        holder,
        row[6],
        row[10],
        row[11],
        row[4],
        row[12],
        bool(row[13]),
        row[5],
        row[14],
        row[15],
        expires_at,
    )


def _write_leases(leased: Sequence[tuple[Row, Assignment]], now_us: int) -> Unit[None]:
    rows: dict[str, list[tuple[Value, ...]]] = {}
    events: list[Event] = []
    amounts = {STATE_COUNTER[State.QUEUED]: -len(leased), "work.distributed": len(leased)}
    waited_us = 0
    for row, assignment in leased:
        group, instance = assignment.holder
        begun = assignment.state is State.RUNNING
        written = (row[1], now_us, assignment.lease_expires_at, group, instance)
        rows.setdefault(_LEASE_BEGUN if begun else _LEASE, []).append(written)
        events.append(_event_of("task.leased", row, assignment))
        if begun:
            events.append(_event_of("task.started", row, assignment))
        state = STATE_COUNTER[assignment.state]
        amounts[state] = amounts.get(state, 0) + 1
        counter = QUEUED_COUNTER[row[4]]
        amounts[counter] = amounts.get(counter, 0) - 1
        if row[8] == 0:
            waited_us += max(0, now_us - max(row[5], row[16] or 0))
    amounts["work.distribution_us"] = waited_us
    for text, some in rows.items():
        yield Many(text, some)
    yield from append_many(events, now_us)
    yield from add_up(amounts)


def _event_of(kind: str, row: Row, assignment: Assignment) -> Event:
    group, instance = assignment.holder
    data = event_data(assignment.attempt, assignment.fence, instance, None)
    return Event(kind, Retention.TASK, group, row[1], row[17], row[18], data)
