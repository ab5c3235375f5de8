"""A queue for tests: started, on a clock that stands still, with the words that most tests need."""

import asyncio
from collections.abc import Callable
from typing import Any

from stellwerk.database.database import Database
from stellwerk.fleet.service import Fleet
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import FleetSettings, JournalSettings, WorkSettings
from stellwerk.trust.principal import LOCAL, Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.matching import Attributes
from stellwerk.work.requirements import Requirements
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Assignment, Holder, Submission, Task
from support.clock import FakeClock

ALICE = Principal("key:alice", "alice", frozenset({Scope.TASKS_SUBMIT, Scope.TASKS_READ}))
BOB = Principal("key:bob", "bob", frozenset({Scope.TASKS_SUBMIT, Scope.TASKS_READ}))
ANNA = Holder("anna", "one")
BERT = Holder("bert", "one")
ANYTHING = Attributes(kind="worker")


class Queue:
    """`work` with its clock and short forms. Nothing sweeps by itself: call `sweep`."""

    def __init__(self, database: Database, clock: FakeClock, **settings: Any) -> None:
        self.database = database
        self.clock = clock
        self.journal = Journal(database, JournalSettings(), clock)
        self.fleet = Fleet(database, self.journal, FleetSettings(), clock)
        settings = {"sweep_s": 3_600.0, "flush_s": 0.0, **settings}
        self.work = Work(database, self.journal, self.fleet, WorkSettings(**settings), clock)

    async def start(self) -> None:
        await self.work.start()

    async def stop(self) -> None:
        await self.work.stop()
        await self.journal.stop()

    async def submit(self, principal: Principal = LOCAL, **fields: Any) -> str:
        """Submit a task and return its id."""
        return (await self.work.submit(principal, submission(**fields))).task_id

    async def lease(
        self, holder: Holder = ANNA, offer: Attributes = ANYTHING, limit: int = 1
    ) -> list[Assignment]:
        return await self.work.claim(holder, offer, limit)

    async def take(self, holder: Holder = ANNA, offer: Attributes = ANYTHING) -> Assignment:
        """Lease the one task that there is."""
        (assignment,) = await self.lease(holder, offer)
        return assignment

    async def run(self, holder: Holder = ANNA, **fields: Any) -> Assignment:
        """Submit a task, lease it and start it."""
        await self.submit(**fields)
        assignment = await self.take(holder)
        await self.work.acknowledge(holder, assignment.task_id, assignment.fence)
        return assignment

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and what follows from it."""
        self.clock.advance(seconds)
        await self.work.sweeper.sweep()

    async def task(self, task_id: str) -> Task:
        return await self.work.get(task_id)

    async def standing(self, task_id: str) -> tuple[State, str | None]:
        task = await self.work.get(task_id)
        return task.state, task.reason

    async def kinds(self, task_id: str) -> list[str]:
        """Return the kinds of the task's events in order."""
        page = await self.journal.page(EventFilter(task=task_id), limit=100)
        return [event.kind for event in page.events]


async def until(condition: Callable[[], bool]) -> None:
    """Wait, turn by turn of the loop and within a limit, until something has come about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0)


def submission(**fields: Any) -> Submission:
    """A submission; `asks` is short for its requirements."""
    asks = fields.pop("asks", None)
    if asks is not None:
        fields["requirements"] = Requirements(**asks)
    return Submission(**{"task_data": '{"n":1}', **fields})
