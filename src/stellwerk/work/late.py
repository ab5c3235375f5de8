"""Results that came too late: their task had been given up, or its time was over, and that stands.

A late success of a task that is still only lost corrects it (`lifecycle.may_be_corrected`) and is not late.
What cannot change the task any more is kept beside it, the first such word only, because somebody will want
to know what became of the machine.
"""

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Sql, Unit
from stellwerk.work.lifecycle import prove_lease
from stellwerk.work.refusals import TooLarge, UnknownTask
from stellwerk.work.states import FINISHED, Reason
from stellwerk.work.store import load_live
from stellwerk.work.task import Holder

_KEEP = """
INSERT INTO late_results (task_id, attempt, received_at, outcome) VALUES ($1, $2, $3, $4)
ON CONFLICT (task_id) DO NOTHING"""
_FIND = "SELECT attempt, received_at, outcome FROM late_results WHERE task_id = $1"
_GIVEN_UP = frozenset({Reason.LOST, Reason.TIMED_OUT})


class LateResult(msgspec.Struct, frozen=True, gc=False):
    """What the holder said in the end; `outcome` is JSON text."""

    attempt: int
    received_at: int
    outcome: str


class LateResults:
    """Keeps and finds them. May raise DatabaseUnavailable."""

    def __init__(self, database: Database, clock: Clock, limit_bytes: int) -> None:
        self._database = database
        self._clock = clock
        self._limit_bytes = limit_bytes

    async def keep(self, holder: Holder, task_id: str, fence: int, outcome: str) -> bool:
        """Keep what came late (JSON text); False if it is not late: the task did not end without its holder.

        Raises UnknownTask, LeaseLost where the holder had not got the task's last lease, TooLarge.
        """
        if len(outcome.encode()) > self._limit_bytes:
            raise TooLarge("result", self._limit_bytes)
        now_us = self._clock.now_us()
        return await self._database.write(lambda: _keep(holder, task_id, fence, outcome, now_us))

    async def find(self, task_id: str) -> LateResult | None:
        """Return what came late for a task."""
        return await self._database.read(lambda: _find(task_id))


def _keep(holder: Holder, task_id: str, fence: int, outcome: str, now_us: int) -> Unit[bool]:
    task = (yield from load_live([task_id])).get(task_id)
    if task is None:
        raise UnknownTask(task_id)
    prove_lease(task, holder, fence)
    if task.state not in FINISHED or task.reason not in _GIVEN_UP:
        return False
    yield Sql(_KEEP, (task_id, task.attempt, now_us, outcome))
    return True


def _find(task_id: str) -> Unit[LateResult | None]:
    rows = yield Sql(_FIND, (task_id,))
    return LateResult(*rows[0]) if rows else None
