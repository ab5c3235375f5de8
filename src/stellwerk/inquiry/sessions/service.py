"""The use cases of investigations.

Theory of operation. A session is recorded before the answer leaves. The loop reads what is open and runs each
session whose named lock it gets, in a task of its own; over all replicas a session has one run at a time.
While a run goes on, a second task writes its progress, renews the lock, and notices that somebody has ended
the session. When the process ends, runs are cut off and their records stay open: whoever gets the lock next
goes on from the last phase that is stored. How many sessions may be open is checked when one is recorded.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import structlog
from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS
from stellwerk.database.errors import DatabaseUnavailable, LockLost
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from stellwerk.inquiry.model import Bundle
from stellwerk.inquiry.reasoning.figures import ModelFigures
from stellwerk.inquiry.sessions import events, store
from stellwerk.inquiry.sessions.packing import unpack
from stellwerk.inquiry.sessions.run import Run, Tools
from stellwerk.inquiry.sessions.session import (
    MOST_ATTEMPTS,
    AlreadyEnded,
    AtCapacity,
    NotEnded,
    Opening,
    Session,
    SessionState,
    UnknownSession,
)
from stellwerk.inquiry.sessions.visibility import may_see, shown_to
from stellwerk.journal.event import Event
from stellwerk.journal.store import append_many
from stellwerk.loop import Loop
from stellwerk.settings import InquirySettings
from stellwerk.trust.principal import Principal

LOCK_S = 15.0
"""Until another replica may go on with a session whose holder is silent."""
RENEW_S = 4.0
FLUSH_S = 0.25
"""Between writes of progress: as often as people see a difference."""
LOOK_S = 2.0
"""Between looks for what other replicas recorded, or left behind."""
CHANNEL = "inquiry"

log = structlog.get_logger(__name__)


class Investigations:
    """Opens sessions, carries them through, and tells of them. Methods may raise DatabaseUnavailable."""

    def __init__(self, tools: Tools, settings: InquirySettings, *, holder: str) -> None:
        """`holder`: names this process; no other may have it at the same time."""
        self._tools = tools
        self._settings = settings
        self._holder = holder
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, Run] = {}
        self._moved = asyncio.Condition()
        self._unlisten: Any = None
        self.figures = tools.figures
        self.loop = Loop("inquiry.sessions", self._give_out, turn_s=60.0)

    async def start(self) -> None:
        """Begin to carry sessions through, also those that were cut off; may be called more than once."""
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

    @property
    def model_figures(self) -> ModelFigures:
        """What is counted of the model; zero where there is none."""
        reasoner = self._tools.reasoner
        return ModelFigures() if reasoner is None else reasoner.figures

    @property
    def under_way(self) -> int:
        """How many sessions this process is carrying through now."""
        return len(self._runs)

    async def open(self, opening: Opening, by: str, *, cause_key: str | None = None) -> Session:
        """Record a session, durably; it is begun at once. Raises AtCapacity.

        `cause_key`: we open it ourselves, for this cause.
        """
        now_us = self._tools.clock.now_us()
        signal = opening.signal
        if cause_key is not None:
            signal = replace(signal, labels={**signal.labels, "cause": cause_key})
        session = Session(
            id=str(uuid.uuid4()),
            target=opening.target,
            signal=signal,
            by=by,
            automatic=cause_key is not None,
            requested_at=now_us,
            cursor=await self._tools.journal.end(),
        )
        limit, told = self._settings.concurrent, [events.started(session)]

        def unit() -> Unit[None]:
            if (yield from store.count_open()) >= limit:
                raise AtCapacity(limit)
            yield from store.insert(session)
            yield from append_many(told, now_us)

        await self._tools.database.write(unit)
        self._tools.journal.committed()
        self.figures.started(session)
        self.figures.told(told)
        self.loop.wake()
        await self._tools.database.notify(CHANNEL)
        return session

    async def opened_for(self, cause_key: str, since_us: int) -> str | None:
        """Return the session that was opened for a cause since then, if there is one."""
        return await self._tools.database.read(lambda: store.opened_for(cause_key, since_us))

    async def get(self, session_id: str, principal: Principal) -> Session:
        """Return a session as it is. Raises UnknownSession, also where it is not shown to the caller."""
        session = await self._read(session_id)
        if session is None:
            raise UnknownSession(session_id)
        if not may_see(principal, session):
            denied = events.access_denied(session, principal.id)
            await self._tools.journal.record(denied)
            self.figures.told([denied])
            raise UnknownSession(session_id)
        return session

    async def stored(self, session_id: str) -> Session | None:
        """Return a session for our own use; None if it is not kept."""
        return await self._read(session_id)

    async def result(self, session_id: str, principal: Principal) -> Session:
        """Return a session that has its result. Raises UnknownSession, NotEnded."""
        session = await self.get(session_id, principal)
        if session.state is not SessionState.COMPLETED:
            raise NotEnded(session)
        return session

    async def ended(self, session_id: str, principal: Principal) -> Session:
        """Return a session that has ended, however it did. Raises UnknownSession, NotEnded."""
        session = await self.get(session_id, principal)
        if not session.ended:
            raise NotEnded(session)
        return session

    async def evidence(self, session_id: str, principal: Principal) -> Bundle | None:
        """Return the stored evidence of a session; None while there is none. Raises UnknownSession."""
        await self.get(session_id, principal)
        packed = await self._tools.database.read(lambda: store.read_evidence(session_id))
        return None if packed is None else await asyncio.to_thread(unpack, packed)

    async def list(
        self, principal: Principal, limit: int = 50, target: str | None = None
    ) -> Sequence[Session]:
        """List the newest sessions that are shown to the caller; `target`: `namespace/Kind/name`."""
        shown = shown_to(principal)
        return await self._tools.database.read(lambda: store.newest(limit, target, shown))

    async def cancel(self, session_id: str, principal: Principal) -> Session:
        """End a session at once. Raises UnknownSession, AlreadyEnded."""
        await self.get(session_id, principal)
        now_us = self._tools.clock.now_us()

        def unit() -> Unit[tuple[Session, Event] | None]:
            found = yield from store.end(session_id, now_us)
            if found is None:
                return None
            ended = replace(
                found, state=SessionState.CANCELLED, finished_at=now_us, cancelled_by=principal.id
            )
            yield from store.put_ended(ended)
            told = events.cancelled(ended)
            yield from append_many([told], now_us)
            return ended, told

        done = await self._tools.database.write(unit)
        if done is None:
            raise AlreadyEnded(await self.get(session_id, principal))
        ended, told = done
        self._tools.journal.committed()
        self.figures.ended(ended)
        self.figures.told([told])
        if (task := self._tasks.get(session_id)) is not None:
            task.cancel()
        await self._tell()
        return ended

    async def wait(self, session_id: str, timeout_s: float) -> Session:
        """Return a session when it has ended, or as it is after that time. Raises UnknownSession."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async for session in self.follow(session_id):
                    if session.ended:
                        return session
        found = await self._read(session_id)
        if found is None:
            raise UnknownSession(session_id)
        return found

    async def follow(self, session_id: str) -> AsyncGenerator[Session, None]:
        """Tell how a session is, at once and after every change, until it has ended."""
        told: Session | None = None
        while told is None or not told.ended:
            session = await self._read(session_id)
            if session is None:
                raise UnknownSession(session_id)
            if session != told:
                told = session
                yield session
                continue
            await self._change()

    async def _read(self, session_id: str) -> Session | None:
        return await self._tools.database.read(lambda: store.read(session_id))

    async def _give_out(self) -> None:
        """Begin what is open and can begin; the body of the loop."""
        while await self.loop.rest(LOOK_S):
            try:
                for session in await self._tools.database.read(store.open_sessions):
                    if session.id not in self._tasks:
                        await self._take(session)
            except DatabaseUnavailable as error:
                log.warning("investigations cannot be read now", detail=error.detail)

    async def _take(self, session: Session) -> None:
        lock = self._tools.database.lock(lock_of(session.id), self._holder)
        if await lock.take(self._tools.clock.now_us(), int(LOCK_S * MICROSECONDS)) is None:
            return
        # It may have ended, or moved on, between our look and the taking of the lock.
        fresh = await self._read(session.id)
        if fresh is None or fresh.ended:
            await lock.release()
            return
        run = Run(self._tools, fresh, lock)
        task = asyncio.create_task(self._carry_out(run, lock), name=f"investigation {fresh.id}")
        self._tasks[fresh.id], self._runs[fresh.id] = task, run

    async def _carry_out(self, run: Run, lock: NamedLock) -> None:
        session_id = run.session.id
        keeping = asyncio.create_task(self._keep(run, lock, asyncio.current_task()))
        try:
            self.figures.ended(await self._to_the_end(run))
        except store.Ended:
            pass  # who ended it has told everybody
        except (LockLost, DatabaseUnavailable) as error:
            log.warning(
                "an investigation was cut off; it goes on later", session=session_id, error=str(error)
            )
        finally:
            keeping.cancel()
            self._tasks.pop(session_id, None)
            self._runs.pop(session_id, None)
            await asyncio.shield(_released(lock))
            await self._tell()

    async def _to_the_end(self, run: Run) -> Session:
        """Carry it out within its time; what goes wrong in a way that nobody expects ends it as failed."""
        limit_s = self._settings.time_limit_s
        if run.session.attempt >= MOST_ATTEMPTS:
            return await run.fail(f"it was cut off {run.session.attempt} times")
        try:
            async with asyncio.timeout(limit_s):
                return await run.carry_out()
        except TimeoutError:
            return await run.fail(f"the time limit of {limit_s:g} s is over, while: {run.session.progress}")
        except (store.Ended, LockLost, DatabaseUnavailable):
            raise
        except Exception as error:
            log.exception("an investigation ended by a fault", session=run.session.id)
            return await run.fail(f"internal error: {type(error).__name__}")

    async def _keep(self, run: Run, lock: NamedLock, task: "asyncio.Task[Any] | None") -> None:
        """Write progress and renew the lock while the run goes on; end the run if it is no longer its own."""
        turn = asyncio.get_running_loop()
        until, renew_at, lost = turn.time() + LOCK_S, turn.time() + RENEW_S, False
        while not lost:
            await asyncio.sleep(FLUSH_S)
            try:
                await run.flush()
                if turn.time() >= renew_at:
                    renew_at = turn.time() + RENEW_S
                    lost = not await lock.renew(self._tools.clock.now_us(), int(LOCK_S * MICROSECONDS))
                    until = turn.time() + LOCK_S
            except (store.Ended, LockLost):
                lost = True
            except DatabaseUnavailable:
                lost = turn.time() > until
        if task is not None:
            task.cancel()

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _change(self) -> None:
        """Wait for the end of a session of this process, or a moment for anything else."""
        async with self._moved:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._moved.wait()


def lock_of(session_id: str) -> str:
    """Name the lock under which a session is run."""
    return f"inquiry:{session_id}"


async def _released(lock: NamedLock) -> None:
    try:
        await lock.release()
    except DatabaseUnavailable:
        log.warning("a lock is held until its time is over", lock=lock.name)
