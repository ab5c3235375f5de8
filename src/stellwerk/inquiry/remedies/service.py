"""The use cases of remedies: try out, ask for, decide about, carry out, verify.

Theory of operation. Asking checks everything that can be checked (the workflow fits, its parameters keep the
schema, the caller has the right, somebody could approve) and records the remedy. The loop takes what is
approved under a named lock, records the intent, carries it out, and verifies. What was cut off is carried out
again from its last recorded state, which changes nothing twice (see executors). While the cluster or the
database is away the loop tries again, until the remedy's time is over.
"""

import asyncio
import contextlib
import secrets
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
from stellwerk.inquiry.remedies.approval import environment_of, may_approve, needs_approval
from stellwerk.inquiry.remedies.catalogue import Catalogue
from stellwerk.inquiry.remedies.choice import Choice
from stellwerk.inquiry.remedies.choosing import Chooser
from stellwerk.inquiry.remedies.executors.executor import Executor, Order
from stellwerk.inquiry.remedies.remedy import (
    AlreadyDecided,
    CannotRemedy,
    MayNotApprove,
    Remedy,
    RemedyState,
    UnknownRemedy,
)
from stellwerk.inquiry.remedies.selection import chosen, obstacles
from stellwerk.inquiry.remedies.verifying import Verifier
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.inquiry.sessions.session import Session
from stellwerk.journal.event import Event
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append, append_many
from stellwerk.loop import Loop
from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable
from stellwerk.settings import InquirySettings
from stellwerk.trust.principal import Principal

LOCK_S = 15.0
RENEW_S = 4.0
LOOK_S = 2.0
CARRY_S = 1_800.0
"""How long a remedy that was begun is tried again while the cluster or the database is away."""
CHANNEL = "inquiry.remedies"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants to be carried out; nothing means what the investigation chose."""

    workflow_id: str | None = None
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """What would be done."""

    choice: Choice
    environment: str
    needs_approval: str | None
    steps: tuple[str, ...]


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


class Remedies:
    """See the module. Methods may raise DatabaseUnavailable."""

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

    async def plan(self, session_id: str, ask: Ask, principal: Principal) -> Planned:
        """Say what a remedy would do; nothing is changed or recorded.

        Raises UnknownSession, NotEnded, UnknownWorkflow, CannotRemedy, and what a cluster raises.
        """
        session = await self._tools.investigations.result(session_id, principal)
        choice, conclusion = await self._choice(session, ask)
        order = _order("dry-run", choice, conclusion, principal.id, self._tools.clock.now_us())
        steps = await self._executor(choice, principal).preview(order)
        environment, why = self._care(choice, conclusion)
        return Planned(choice, environment, why, steps)

    async def request(self, session_id: str, ask: Ask, principal: Principal) -> Remedy:
        """Ask for a remedy, durably; it is carried out at once, or when it is approved. Raises as `plan`."""
        session = await self._tools.investigations.result(session_id, principal)
        choice, conclusion = await self._choice(session, ask)
        self._executor(choice, principal)
        environment, why = self._care(choice, conclusion)
        now_us = self._tools.clock.now_us()
        if why is not None and not self._tools.approvers(principal.id, now_us):
            raise CannotRemedy(
                "approval_impossible",
                f"It needs approval, because {why}, and there is nobody who could give it:"
                " make an API key with incidents:approve for somebody else",
            )
        remedy = Remedy(
            id=f"rem_{secrets.token_hex(8)}",
            session=session.id,
            cause=conclusion.cause,
            target=_target(conclusion),
            choice=choice,
            environment=environment,
            by=principal.id,
            requested_at=now_us,
            state=RemedyState.APPROVED if why is None else RemedyState.WAITING,
            needs_approval=why,
        )

        def unit() -> Unit[str | None]:
            if other := (yield from store.open_on(remedy.target)):
                return other
            yield from store.insert(remedy)
            yield from append(events.requested(remedy), now_us)
            return None

        if other := await self._tools.database.write(unit):
            raise CannotRemedy("busy", f"remedy {other} of {remedy.target} has not ended yet")
        await self._told()
        return remedy

    async def approve(self, remedy_id: str, principal: Principal) -> Remedy:
        """Approve a remedy that waits. Raises UnknownRemedy, MayNotApprove, AlreadyDecided."""
        return await self._decide(remedy_id, principal, RemedyState.APPROVED)

    async def reject(self, remedy_id: str, principal: Principal) -> Remedy:
        """Reject a remedy that waits. Raises UnknownRemedy, MayNotApprove, AlreadyDecided."""
        return await self._decide(remedy_id, principal, RemedyState.REJECTED)

    async def get(self, remedy_id: str, principal: Principal) -> Remedy:
        """Return a remedy. Raises UnknownRemedy, UnknownSession where its session is not shown."""
        found = await self._tools.database.read(lambda: store.read(remedy_id))
        if found is None:
            raise UnknownRemedy(remedy_id)
        await self._tools.investigations.get(found.session, principal)
        return found

    async def list(self, session_id: str, principal: Principal) -> Sequence[Remedy]:
        """List the remedies of a session, newest first. Raises UnknownSession."""
        await self._tools.investigations.get(session_id, principal)
        return await self._tools.database.read(lambda: store.of_session(session_id))

    async def wait(self, remedy_id: str, timeout_s: float) -> Remedy:
        """Return a remedy when it has ended, or as it is after that time. Raises UnknownRemedy."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (found := await self._read(remedy_id)).ended:
                    await self._change()
                return found
        return await self._read(remedy_id)

    async def _read(self, remedy_id: str) -> Remedy:
        found = await self._tools.database.read(lambda: store.read(remedy_id))
        if found is None:
            raise UnknownRemedy(remedy_id)
        return found

    async def _choice(self, session: Session, ask: Ask) -> tuple[Choice, Conclusion]:
        conclusion = session.conclusion
        if conclusion is None or conclusion.remediation_target is None:
            raise CannotRemedy("nothing_to_remedy", "the investigation names nothing that could be changed")
        choice = session.chosen.choice if session.chosen else None
        name = ask.workflow_id or (choice.workflow_id if choice else None)
        if name is None:
            raise CannotRemedy("no_workflow", "the investigation chose no workflow; name one")
        workflow = await self._tools.catalogue.get(name)
        at = await self._tools.chooser.circumstances(conclusion)
        # Judged as things are now: since the choice somebody may have changed them.
        if errors := obstacles(workflow, conclusion, at, ask.parameters):
            raise CannotRemedy("does_not_fit", f"{workflow.id}: {'; '.join(errors)}")
        return chosen(workflow, conclusion, at, ask.parameters), conclusion

    def _executor(self, choice: Choice, principal: Principal) -> Executor:
        executor = self._tools.executors.get(choice.executor)
        if executor is None:
            raise CannotRemedy("no_executor", f"nobody here carries out {choice.executor}")
        if executor.requires is not None and not principal.may(executor.requires):
            raise CannotRemedy("missing_scope", f"{choice.executor} needs the scope {executor.requires}")
        return executor

    def _care(self, choice: Choice, conclusion: Conclusion) -> tuple[str, str | None]:
        environment = environment_of(_target(conclusion).namespace, self._settings)
        return environment, needs_approval(environment, choice.risk, self._settings)

    async def _decide(self, remedy_id: str, principal: Principal, state: RemedyState) -> Remedy:
        remedy = await self.get(remedy_id, principal)
        if (why := may_approve(principal, remedy.by)) is not None:
            raise MayNotApprove(why)
        if remedy.state is not RemedyState.WAITING:
            raise AlreadyDecided(f"remedy {remedy_id} is {remedy.state}")
        now_us = self._tools.clock.now_us()
        decided = replace(
            remedy,
            state=state,
            decided_by=principal.id,
            decided_at=now_us,
            finished_at=now_us if state is RemedyState.REJECTED else None,
        )
        try:
            await self._move(remedy, decided, by=principal.id)
        except store.Moved:
            raise AlreadyDecided(f"somebody else has decided about remedy {remedy_id}") from None
        return decided

    async def _move(
        self, remedy: Remedy, to: Remedy, *, lock: NamedLock | None = None, by: str | None = None
    ) -> Remedy:
        now_us = self._tools.clock.now_us()
        told: list[Event] = [events.moved(to, by)] if to.state is not remedy.state else []

        def unit() -> Unit[None]:
            if lock is not None:
                yield from lock.guard()
            yield from store.update(to, was=remedy.state)
            yield from append_many(told, now_us)

        await self._tools.database.write(unit)
        await self._told()
        return to

    async def _told(self) -> None:
        self._tools.journal.committed()
        self.loop.wake()
        await self._tools.database.notify(CHANNEL)
        async with self._moved:
            self._moved.notify_all()

    async def _change(self) -> None:
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
                    await self._move(remedy, gone)
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
        remedy = await self._move(remedy, running, lock=lock)
        session = await self._tools.investigations.stored(remedy.session)
        if session is None or session.conclusion is None:
            return await self._fail(remedy, lock, "its investigation is no longer kept")
        order = _order(remedy.id, remedy.choice, session.conclusion, remedy.by, remedy.requested_at)
        done = await self._tools.executors[remedy.choice.executor].perform(order)
        said = replace(remedy, operation=done.operation, message=done.message)
        if not done.worked:
            return await self._fail(said, lock, done.message)
        return await self._move(remedy, replace(said, state=RemedyState.VERIFYING), lock=lock)

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
        await self._move(remedy, ended, lock=lock)

    async def _fail(self, remedy: Remedy, lock: NamedLock, why: str) -> Remedy:
        ended = replace(remedy, state=RemedyState.FAILED, message=why, finished_at=self._tools.clock.now_us())
        current = await self._read(remedy.id)
        return await self._move(current, ended, lock=lock)

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


def _order(remedy_id: str, choice: Choice, conclusion: Conclusion, by: str, asked_at: int) -> Order:
    return Order(
        remedy_id,
        choice.executor,
        _target(conclusion),
        choice.parameters,
        by,
        f"{choice.name} ({conclusion.cause})",
        asked_at,
    )


def _target(conclusion: Conclusion) -> ObjectRef:
    if conclusion.remediation_target is None:
        raise CannotRemedy("nothing_to_remedy", "the investigation names nothing that could be changed")
    return conclusion.remediation_target
