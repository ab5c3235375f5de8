"""Carrying remedies out.

Theory of operation. The loop reads what is open, gives up what waited too long for approval, and takes what
is approved under a named lock, in a task of its own. The intent is recorded, it is carried out, and the
health of what was noticed is looked at. What was cut off is carried out again from its last recorded state,
which changes nothing twice (see executors). While the cluster or the database is away it is tried again,
until the remedy's time is over.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable, LockLost
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from stellwerk.inquiry.model import Conclusion, ObjectRef
from stellwerk.inquiry.remedies import events, store
from stellwerk.inquiry.remedies.catalogue import Catalogue
from stellwerk.inquiry.remedies.choice import Choice
from stellwerk.inquiry.remedies.choosing import Chooser
from stellwerk.inquiry.remedies.executors.executor import Executor, Order
from stellwerk.inquiry.remedies.remedy import CannotRemedy, Remedy, RemedyState
from stellwerk.inquiry.remedies.verifying import Verifier
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.journal.event import Event
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append_many
from stellwerk.loop import Loop
from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable
from stellwerk.settings import InquirySettings

LOCK_S = 15.0
RENEW_S = 4.0
LOOK_S = 2.0
CARRY_S = 1_800.0
"""How long a remedy that was begun is tried again while the cluster or the database is away."""
CHANNEL = "inquiry.remedies"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What remedies work with."""

    investigations: Investigations
    catalogue: Catalogue
    chooser: Chooser
    executors: Mapping[str, Executor]
    verifier: Verifier
    approvers: Callable[[str, int], Sequence[str]]
    """Lists who could approve what somebody asked for, at an instant."""
    database: Database
    journal: Journal
    clock: Clock


class Carrier:
    """See the module."""

    def __init__(self, tools: Tools, settings: InquirySettings, *, holder: str) -> None:
        self._tools = tools
        self._settings = settings
        self._holder = holder
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._moved = asyncio.Condition()
        self._unlisten: Callable[[], None] | None = None
        self.loop = Loop("inquiry.remedies", self._give_out, turn_s=60.0)

    async def start(self) -> None:
        """Begin to carry out what is approved; may be called more than once."""
        if self._unlisten is None:
            self._unlisten = self._tools.database.listen(CHANNEL, self.loop.wake)
        self.loop.start()
        self.loop.wake()

    async def stop(self) -> None:
        """Cut off what is running; it goes on after the next start. May be called more than once."""
        await self.loop.stop()
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def move(
        self, remedy: Remedy, to: Remedy, *, lock: NamedLock | None = None, by: str | None = None
    ) -> Remedy:
        """Write where a remedy is now. Raises Moved, LockLost."""
        now_us = self._tools.clock.now_us()
        told: list[Event] = [events.moved(to, by)] if to.state is not remedy.state else []

        def unit() -> Unit[None]:
            if lock is not None:
                yield from lock.guard()
            yield from store.update(to, was=remedy.state)
            yield from append_many(told, now_us)

        await self._tools.database.write(unit)
        await self.told()
        return to

    async def told(self) -> None:
        """Wake whoever waits for a change, also on other replicas."""
        self._tools.journal.committed()
        self.loop.wake()
        await self._tools.database.notify(CHANNEL)
        async with self._moved:
            self._moved.notify_all()

    async def change(self) -> None:
        """Wait for a change of a remedy of this process, or a moment for one of another."""
        async with self._moved:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    await self._moved.wait()

    async def _give_out(self) -> None:
        """Begin what is approved, and end what waited too long; the body of the loop."""
        while await self.loop.rest(LOOK_S):
            try:
                for remedy in await self._tools.database.read(store.open_remedies):
                    await self._look_at(remedy)
            except DatabaseUnavailable as error:
                log.warning("remedies cannot be read now", detail=error.detail)

    async def _look_at(self, remedy: Remedy) -> None:
        now_us = self._tools.clock.now_us()
        if remedy.state is RemedyState.WAITING:
            if now_us - remedy.requested_at > self._settings.approval_s * MICROSECONDS:
                gone = replace(
                    remedy, state=RemedyState.EXPIRED, finished_at=now_us, message="nobody decided in time"
                )
                with contextlib.suppress(store.Moved):
                    await self.move(remedy, gone)
            return
        if remedy.id in self._tasks:
            return
        lock = self._tools.database.lock(f"remedy:{remedy.id}", self._holder)
        if await lock.take(now_us, int(LOCK_S * MICROSECONDS)) is None:
            return
        fresh = await self._tools.database.read(lambda: store.read(remedy.id))
        if fresh is None or fresh.ended:
            await lock.release()
            return
        task = asyncio.create_task(self._carry(fresh, lock), name=f"remedy {fresh.id}")
        self._tasks[fresh.id] = task

    async def _carry(self, remedy: Remedy, lock: NamedLock) -> None:
        keeping = asyncio.create_task(self._keep(lock, asyncio.current_task()))
        try:
            await self._to_the_end(remedy, lock)
        except (LockLost, DatabaseUnavailable, ClusterUnavailable, store.Moved) as error:
            log.warning("a remedy was cut off; it goes on later", remedy=remedy.id, error=str(error))
            await asyncio.sleep(LOOK_S)
        finally:
            keeping.cancel()
            self._tasks.pop(remedy.id, None)
            with contextlib.suppress(DatabaseUnavailable):
                await asyncio.shield(lock.release())

    async def _to_the_end(self, remedy: Remedy, lock: NamedLock) -> None:
        try:
            if remedy.state is not RemedyState.VERIFYING:
                remedy = await self._perform(remedy, lock)
            if not remedy.ended:
                await self._verify(remedy, lock)
        except (LockLost, DatabaseUnavailable, ClusterUnavailable, store.Moved):
            raise
        except (CannotRemedy, ClusterError) as error:
            await self._fail(remedy, lock, str(error))
        except Exception as error:
            log.exception("a remedy ended by a fault", remedy=remedy.id)
            await self._fail(remedy, lock, f"internal error: {type(error).__name__}")

    async def _perform(self, remedy: Remedy, lock: NamedLock) -> Remedy:
        now_us = self._tools.clock.now_us()
        begun = remedy.started_at or now_us
        if now_us - begun > CARRY_S * MICROSECONDS:
            return await self._fail(remedy, lock, "it could not be carried out in time")
        running = replace(remedy, state=RemedyState.RUNNING, started_at=begun)
        remedy = await self.move(remedy, running, lock=lock)
        session = await self._tools.investigations.stored(remedy.session)
        if session is None or session.conclusion is None:
            return await self._fail(remedy, lock, "its investigation is no longer kept")
        order = order_of(remedy.id, remedy.choice, session.conclusion, remedy.by, remedy.requested_at)
        done = await self._tools.executors[remedy.choice.executor].perform(order)
        said = replace(remedy, operation=done.operation, message=done.message)
        if not done.worked:
            return await self._fail(said, lock, done.message)
        return await self.move(remedy, replace(said, state=RemedyState.VERIFYING), lock=lock)

    async def _verify(self, remedy: Remedy, lock: NamedLock) -> None:
        session = await self._tools.investigations.stored(remedy.session)
        noticed = (session.target.object,) if session else ()
        verdict = await self._tools.verifier.verify((*noticed, remedy.target))
        # What nobody can judge was carried out, and that is all that is known.
        state = RemedyState.FAILED if verdict.healthy is False else RemedyState.SUCCEEDED
        ended = replace(
            remedy,
            state=state,
            healthy=verdict.healthy,
            message=f"{remedy.message}; {verdict.message}",
            finished_at=self._tools.clock.now_us(),
        )
        await self.move(remedy, ended, lock=lock)

    async def _fail(self, remedy: Remedy, lock: NamedLock, why: str) -> Remedy:
        ended = replace(remedy, state=RemedyState.FAILED, message=why, finished_at=self._tools.clock.now_us())
        current = await self._tools.database.read(lambda: store.read(remedy.id))
        return await self.move(current or remedy, ended, lock=lock)

    async def _keep(self, lock: NamedLock, task: "asyncio.Task[Any] | None") -> None:
        turn = asyncio.get_running_loop()
        until, lost = turn.time() + LOCK_S, False
        while not lost:
            await asyncio.sleep(RENEW_S)
            renewed_at = turn.time()
            try:
                lost = not await lock.renew(self._tools.clock.now_us(), int(LOCK_S * MICROSECONDS))
                until = renewed_at + LOCK_S
            except DatabaseUnavailable:
                lost = turn.time() > until
        if task is not None:
            task.cancel()


def order_of(remedy_id: str, choice: Choice, conclusion: Conclusion, by: str, asked_at: int) -> Order:
    """Write the order of a choice. Raises CannotRemedy."""
    return Order(
        remedy_id,
        choice.executor,
        target_of(conclusion),
        choice.parameters,
        by,
        f"{choice.name} ({conclusion.cause})",
        asked_at,
    )


def target_of(conclusion: Conclusion) -> ObjectRef:
    """Return what would have to be changed. Raises CannotRemedy."""
    if conclusion.remediation_target is None:
        raise CannotRemedy("nothing_to_remedy", "the investigation names nothing that could be changed")
    return conclusion.remediation_target
