"""The use cases of remedies: try out, ask for, decide about, carry out, verify.

Asking checks everything that can be checked (the workflow fits, its parameters keep the schema, the caller
has the right, somebody could approve) and records the remedy; `carrying` does the rest.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from stellwerk.database.unit import Unit
from stellwerk.inquiry.model import Conclusion
from stellwerk.inquiry.remedies import events, store
from stellwerk.inquiry.remedies.approval import environment_of, may_approve, needs_approval
from stellwerk.inquiry.remedies.carrying import Carrier, Tools, order_of, target_of
from stellwerk.inquiry.remedies.choice import Choice
from stellwerk.inquiry.remedies.executors.executor import Executor
from stellwerk.inquiry.remedies.remedy import (
    AlreadyDecided,
    CannotRemedy,
    MayNotApprove,
    Remedy,
    RemedyState,
    UnknownRemedy,
)
from stellwerk.inquiry.remedies.selection import chosen, obstacles
from stellwerk.inquiry.sessions.session import Session
from stellwerk.journal.store import append
from stellwerk.loop import Loop
from stellwerk.settings import InquirySettings
from stellwerk.trust.principal import Principal


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


class Remedies:
    """See the module. Methods may raise DatabaseUnavailable."""

    def __init__(self, tools: Tools, settings: InquirySettings, *, holder: str) -> None:
        self._tools = tools
        self._settings = settings
        self._carrier = Carrier(tools, settings, holder=holder)

    @property
    def loop(self) -> Loop:
        """What runs in the background."""
        return self._carrier.loop

    async def start(self) -> None:
        """Begin to carry out what is approved; may be called more than once."""
        await self._carrier.start()

    async def stop(self) -> None:
        """Cut off what is running; it goes on after the next start. May be called more than once."""
        await self._carrier.stop()

    async def plan(self, session_id: str, ask: Ask, principal: Principal) -> Planned:
        """Say what a remedy would do; nothing is changed or recorded.

        Raises UnknownSession, NotEnded, UnknownWorkflow, CannotRemedy, and what a cluster raises.
        """
        session = await self._tools.investigations.result(session_id, principal)
        choice, conclusion = await self._choice(session, ask)
        order = order_of("dry-run", choice, conclusion, principal.id, self._tools.clock.now_us())
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
            target=target_of(conclusion),
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
        await self._carrier.told()
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
                    await self._carrier.change()
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
        environment = environment_of(target_of(conclusion).namespace, self._settings)
        return environment, needs_approval(
            environment, choice.risk, self._settings, by_model=conclusion.by_model
        )

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
            await self._carrier.move(remedy, decided, by=principal.id)
        except store.Moved:
            raise AlreadyDecided(f"somebody else has decided about remedy {remedy_id}") from None
        return decided
