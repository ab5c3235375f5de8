"""What follows from committed changes: wake those who wait, free seats, ask holders to stop, tell other
replicas.

All of it is a hint. Whoever misses one finds out by itself a little later: by a poll, a sweep or a
deadline.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping

import structlog

from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.work.lifecycle import Change, Live
from stellwerk.work.outcomes import Outcomes
from stellwerk.work.replicas import Replicas
from stellwerk.work.seats import Seats
from stellwerk.work.states import ACTIVE, FINISHED, Reason, State
from stellwerk.work.store import StoredResult
from stellwerk.work.task import Holder, Outcome
from stellwerk.work.waiting import WaitingQueues

RecordOutcome = Callable[[str, str, bool, float], None]
"""Takes group, instance, whether the attempt succeeded, and how long it took in milliseconds."""

_BLAMED = frozenset({Reason.RETRY, Reason.ERROR, Reason.ATTEMPTS_EXHAUSTED, Reason.LOST, Reason.TIMED_OUT})
"""How an attempt ends for which its holder is less likely to be chosen."""
_NONE: Mapping[str, StoredResult] = {}

_log = structlog.get_logger(__name__)


class Effects:
    """See the module. Called on the event loop after the commit."""

    def __init__(
        self,
        *,
        waiting: WaitingQueues,
        seats: Seats,
        outcomes: Outcomes,
        replicas: Replicas,
        committed: Callable[[], None],
        record_outcome: RecordOutcome,
    ) -> None:
        self._waiting = waiting
        self._seats = seats
        self._outcomes = outcomes
        self._replicas = replicas
        self._committed = committed
        self._record_outcome = record_outcome
        self._looking: set[asyncio.Task[None]] = set()
        self._ended: list[Callable[[Live, Live], None]] = []

    def on_released(self, listener: Callable[[Live, Live], None]) -> None:
        """Call back with every task that no holder has any more, as it was and as it is; must not raise."""
        self._ended.append(listener)

    def ready(self, queue_key: str, rank_at: int) -> None:
        """A task became ready."""
        self._waiting.flag(queue_key, rank_at)
        self._replicas.ready()

    def ready_early(self, queue_key: str, rank_at: int) -> None:
        """A task will be ready with the next commit, which whoever takes it may share."""
        self._waiting.flag_early(queue_key, rank_at)

    def shown(self, queue_keys: Iterable[str]) -> None:
        """What was ready early is committed."""
        for queue_key in queue_keys:
            self._waiting.show(queue_key)
            self._replicas.ready()

    def appended(self) -> None:
        """The journal has grown."""
        self._committed()

    def changed(self, changes: Iterable[Change], results: Mapping[str, StoredResult] = _NONE) -> None:
        """Tasks took steps. `results` has what some of them ended with."""
        ended: list[str] = []
        moved = False
        for change in changes:
            before, after = change.before, change.after
            if before.state is after.state:
                continue
            moved = True
            if before.state in ACTIVE and after.state not in ACTIVE:
                self._released(before, after)
            if after.state is State.QUEUED and not after.delayed:
                self.ready(after.queue_key, after.rank_at)
            elif after.state is State.CANCELLING:
                self._ask_to_stop(after)
            elif after.state in FINISHED:
                self._replicas.ended()
                if self._outcomes.awaits(after.task_id) and not self._tell(after, results.get(after.task_id)):
                    ended.append(after.task_id)
        if moved:
            self._committed()
        if ended:
            self._run(self._outcomes.look(ended))

    async def finish(self) -> None:
        """Wait until everybody is told."""
        if self._looking:
            await asyncio.wait(self._looking)

    def stop_attempt(self, holder: Holder, task_id: str, fence: int, reason: str) -> None:
        """Ask a holder that is connected here to stop."""
        seat = self._seats.get(holder)
        if seat is not None:
            seat.channel.cancel(task_id, fence, reason)

    def _released(self, before: Live, after: Live) -> None:
        holder = _holder_of(before)
        self._seats.release(holder, before.task_id, before.fence)
        for listener in self._ended:
            listener(before, after)
        ok = after.state is State.SUCCEEDED
        if not ok and after.reason not in _BLAMED:
            return
        ended_at = after.finished_at or after.not_before or 0
        took_ms = max(0, ended_at - (before.started_at or before.leased_at or ended_at)) / 1_000
        self._seats.outcome(holder, ok, took_ms)
        self._record_outcome(holder.group, holder.instance, ok, took_ms)

    def _ask_to_stop(self, task: Live) -> None:
        holder = _holder_of(task)
        if self._seats.get(holder) is not None:
            self.stop_attempt(holder, task.task_id, task.fence, task.reason or Reason.REQUESTED)
        else:
            self._replicas.stopping()

    def _tell(self, task: Live, kept: StoredResult | None) -> bool:
        if kept is None:
            return False
        self._outcomes.tell(Outcome(task.task_id, task.state, task.reason, kept.result, kept.error))
        return True

    def _run(self, looking: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._look(looking))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look(self, looking: Coroutine[None, None, None]) -> None:
        try:
            await looking
        except DatabaseUnavailable as unavailable:
            _log.warning("those who wait for results are told later", detail=unavailable.detail)


def _holder_of(task: Live) -> Holder:
    return Holder(task.holder_group or "", task.holder_instance or "")
