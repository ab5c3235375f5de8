"""Wait for tasks to end.

Theory of operation. Whoever waits leaves a future, then reads where the task stands, so no end slips in
between. Ends that this process commits resolve the futures at once. Those of other replicas are found by
looking at all awaited tasks in one read, when a hint arrives and from time to time. Waiting holds nothing
but a future.
"""

import asyncio
from collections.abc import Iterable

from stellwerk.database.database import Database
from stellwerk.work.reading import read_outcome, read_outcomes
from stellwerk.work.task import Outcome

_AT_ONCE = 500


class Outcomes:
    """The waiting and what they wait for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Future[Outcome]]] = {}

    async def wait(self, task_id: str, wait_s: float) -> Outcome:
        """Return how the task stands, after its end or after `wait_s`. Raises UnknownTask."""
        if wait_s <= 0:
            return await self._database.read(lambda: read_outcome(task_id))
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(task_id, set()).add(future)
        try:
            now = await self._database.read(lambda: read_outcome(task_id))
            if now.finished:
                return now
            done, _ = await asyncio.wait([future], timeout=wait_s)
            return future.result() if done else await self._database.read(lambda: read_outcome(task_id))
        finally:
            futures = self._waiting.get(task_id, set())
            futures.discard(future)
            if not futures:
                self._waiting.pop(task_id, None)

    def expect(self, task_id: str) -> asyncio.Future[Outcome]:
        """Leave a future for a task that cannot have ended yet; `forget` it when nobody waits any more."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(task_id, set()).add(future)
        return future

    def forget(self, task_id: str, future: asyncio.Future[Outcome]) -> None:
        """Take a future back; again is no error."""
        futures = self._waiting.get(task_id)
        if futures is not None:
            futures.discard(future)
            if not futures:
                del self._waiting[task_id]

    def awaits(self, task_id: str) -> bool:
        return task_id in self._waiting

    def tell(self, outcome: Outcome) -> None:
        """Hand the end of a task to those who wait for it."""
        for future in self._waiting.pop(outcome.task_id, ()):
            if not future.done():
                future.set_result(outcome)

    async def look(self, task_ids: Iterable[str] | None = None) -> None:
        """Look which of the awaited tasks (None: all) have ended."""
        awaited = [task_id for task_id in (task_ids or list(self._waiting)) if task_id in self._waiting]
        for start in range(0, len(awaited), _AT_ONCE):
            some = awaited[start : start + _AT_ONCE]
            for outcome in await self._database.read(lambda some=some: read_outcomes(some)):  # type: ignore[misc]
                self.tell(outcome)
