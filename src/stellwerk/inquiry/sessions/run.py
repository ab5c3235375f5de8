"""One session, from its last stored phase to its end.

Theory of operation. A run holds the session's named lock and guards every write by it; a write to a session
that somebody else has ended raises Ended, and the run is over. Each phase reads what the one before has
stored, and stores what it gives in the same unit that moves the session on, with the events that tell of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec.structs import replace

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.locks import NamedLock
from stellwerk.database.unit import Unit
from stellwerk.inquiry.detective import Detective
from stellwerk.inquiry.model import Budget, Bundle, Conclusion, Outcome
from stellwerk.inquiry.reasoning.grounding import with_opinion
from stellwerk.inquiry.reasoning.opinion import Advice, Usage
from stellwerk.inquiry.reasoning.reasoner import Hearing, Reasoner
from stellwerk.inquiry.remedies.choice import Choice, Chosen
from stellwerk.inquiry.remedies.selection import advised
from stellwerk.inquiry.remedies.workflow import Workflow
from stellwerk.inquiry.sessions import events, store
from stellwerk.inquiry.sessions.figures import Figures
from stellwerk.inquiry.sessions.packing import pack, unpack
from stellwerk.inquiry.sessions.session import Phase, Session, SessionState
from stellwerk.journal.event import Event
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append_many
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable

Tells = Callable[[Session], Sequence[Event]]
"""What a change of the record tells the journal."""


class Chooser(Protocol):
    """Chooses a remedy for a cause."""

    async def choose(self, conclusion: Conclusion) -> Chosen:
        """Return what fits, if anything does. May raise DatabaseUnavailable."""
        ...

    async def options(self, chosen: Chosen) -> Sequence[Workflow]:
        """List the workflows that fit, the chosen one first. May raise DatabaseUnavailable."""
        ...

    async def prefer(self, conclusion: Conclusion, workflow_id: str) -> Choice | None:
        """Return the choice of this workflow; None if it does not fit. May raise DatabaseUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What runs work with."""

    cluster: Cluster
    detective: Detective
    chooser: Chooser
    budget: Budget
    database: Database
    journal: Journal
    clock: Clock
    reasoner: Reasoner | None = None
    """Who asks a model; None where there is none."""
    figures: Figures = field(default_factory=Figures)


class Run:
    """Carries one session on, while its lock is held."""

    def __init__(self, tools: Tools, session: Session, lock: NamedLock) -> None:
        self._tools = tools
        self._lock = lock
        self._lines: list[str] = []
        self._told: list[Event] = []
        # Progress is written beside the phases; one write at a time, each of the newest record.
        self._writing = asyncio.Lock()
        self.session = session

    async def carry_out(self) -> Session:
        """Go on to the end. Raises LockLost and DatabaseUnavailable (it is still open then), and Ended."""
        await self._begin()
        try:
            bundle = await self._collected()
            conclusion = await self._reasoned(bundle, await self._concluded(bundle))
        except ClusterUnavailable as error:
            conclusion = unreachable(error)
            detail = error.detail
            await self._write(
                lambda session: [events.unenriched(session, "unavailable", detail)],
                conclusion=conclusion,
                phase=Phase.CHOOSE,
            )
        except ClusterError as error:
            return await self.fail(str(error))
        await self._choose(conclusion)
        return self.session

    async def fail(self, error: str) -> Session:
        """End it without a result."""
        return await self._write(
            events.failed,
            state=SessionState.FAILED,
            error=error,
            finished_at=self._tools.clock.now_us(),
        )

    def say(self, line: str) -> None:
        """Note what is being done; `flush` writes it."""
        self._lines.append(line)
        self.session = replace(self.session, progress=line)

    async def flush(self) -> None:
        """Write what is being done, if that is new. Raises LockLost, DatabaseUnavailable, Ended."""
        if self._lines or self._told:
            await self._write(_nothing)

    async def _begin(self) -> None:
        self.say("Begun" if self.session.attempt == 0 else f"Going on from: {self.session.phase}")
        await self._write(
            _nothing,
            state=SessionState.INVESTIGATING,
            started_at=self.session.started_at or self._tools.clock.now_us(),
            attempt=self.session.attempt + 1,
        )

    async def _collected(self) -> Bundle:
        """Return the evidence: what is stored, else what is collected and stored now."""
        session, tools = self.session, self._tools
        if session.phase is not Phase.COLLECT:
            packed = await tools.database.read(lambda: store.read_evidence(session.id))
            if packed is not None:
                return await asyncio.to_thread(unpack, packed)
        bundle = await tools.detective.collect(
            tools.cluster, session.target, budget=tools.budget, clock=tools.clock, progress=self.say
        )
        packed = await asyncio.to_thread(pack, bundle)
        await self._write(
            lambda session: [events.enriched(session, bundle)],
            packed,
            spent=bundle.spent,
            phase=Phase.CONCLUDE,
        )
        return bundle

    async def _concluded(self, bundle: Bundle) -> Conclusion:
        if self.session.conclusion is not None:
            return self.session.conclusion
        self.say("Linking what was found")
        # In a thread: it reads megabytes of evidence, and others are answered meanwhile.
        conclusion = await asyncio.to_thread(self._tools.detective.conclude, bundle)
        reasoner = self._tools.reasoner
        if reasoner is not None and reasoner.wanted(conclusion):
            await self._write(_nothing, conclusion=conclusion, phase=Phase.REASON)
            return conclusion
        await self._write(
            lambda session: [events.cause_found(session, conclusion)],
            conclusion=conclusion,
            phase=Phase.CHOOSE,
        )
        return conclusion

    async def _reasoned(self, bundle: Bundle, conclusion: Conclusion) -> Conclusion:
        """Return the conclusion in view of what the model says, if it is to be asked."""
        reasoner = self._tools.reasoner
        if self.session.phase is not Phase.REASON or reasoner is None:
            return conclusion
        self.say(f"Asking {reasoner.model} for the cause")
        opinion = await reasoner.cause(self._hearing(reasoner), bundle, conclusion)
        seen = with_opinion(conclusion, opinion)
        await self._write(
            lambda session: [events.cause_found(session, seen)],
            conclusion=seen,
            opinion=opinion,
            phase=Phase.CHOOSE,
        )
        return seen

    async def _choose(self, conclusion: Conclusion) -> None:
        chosen = self.session.chosen if self.session.phase is Phase.ADVISE else None
        if chosen is None:
            chosen = Chosen()
            if conclusion.outcome is Outcome.NO_WORKFLOW:
                self.say("Choosing a remedy")
                chosen = await self._tools.chooser.choose(conclusion)
        chosen, advice = await self._advised(conclusion, chosen)
        change = conclusion.introduced_by
        if change is not None and chosen.release is not None:
            known = replace(change, release=chosen.release, by=change.by or chosen.released_by)
            conclusion = replace(conclusion, introduced_by=known)
        if chosen.choice is not None:
            conclusion = replace(conclusion, outcome=Outcome.WORKFLOW_SELECTED)
        self.say("Done")
        await self._write(
            lambda session: [*events.validated(session, chosen), *events.completed(session)],
            state=SessionState.COMPLETED,
            finished_at=self._tools.clock.now_us(),
            conclusion=conclusion,
            chosen=chosen,
            advice=advice,
            phase=Phase.DONE,
        )

    async def _advised(self, conclusion: Conclusion, chosen: Chosen) -> tuple[Chosen, Advice | None]:
        """Ask the model, which was asked for the cause, which of those that fit is the remedy."""
        reasoner, opinion = self._tools.reasoner, self.session.opinion
        if reasoner is None or opinion is None or not opinion.summary or chosen.choice is None:
            return chosen, None
        if self.session.phase is not Phase.ADVISE:
            await self._write(_nothing, chosen=chosen, phase=Phase.ADVISE)
        self.say(f"Asking {reasoner.model} for the remedy")
        options = await self._tools.chooser.options(chosen)
        advice = await reasoner.remedy(self._hearing(reasoner), conclusion, options)
        if advice.workflow_id in {None, chosen.choice.workflow_id}:
            return chosen, advice
        preferred = await self._tools.chooser.prefer(conclusion, str(advice.workflow_id))
        return advised(chosen, preferred), advice

    def _hearing(self, reasoner: Reasoner) -> Hearing:
        def tell(what: str, data: dict[str, Any]) -> None:
            self._told.append(events.of_model(self.session, what, data))
            if what == "tool_call":
                self.say(f"{reasoner.model} reads: {data['tool_name']} {_short(data['tool_arguments'])}")

        def spent(usage: Usage) -> None:
            self.session = replace(self.session, usage=usage, cost=reasoner.cost(usage))

        return Hearing(self.session.usage or Usage(), tell, spent)

    async def _write(self, tells: Tells, evidence: bytes | None = None, **changes: Any) -> Session:
        """Change the record, and tell of it, in one unit."""
        async with self._writing:
            session, lines = replace(self.session, **changes), tuple(self._lines)
            told = tuple(self._told)
            happened = [*events.progress(self.session, lines), *told, *tells(session)]
            now_us = self._tools.clock.now_us()

            def unit() -> Unit[None]:
                yield from self._lock.guard()
                yield from store.update(session, evidence)
                yield from append_many(happened, now_us)

            await self._tools.database.write(unit)
            self._tools.figures.told(happened)
            # What was said meanwhile stays for the next write.
            del self._lines[: len(lines)]
            del self._told[: len(told)]
            self.session = replace(self.session, **changes)
        if happened:
            self._tools.journal.committed()
        return session


def _nothing(session: Session) -> list[Event]:
    return []


def _short(arguments: Any) -> str:
    return " ".join(str(one) for one in arguments.values())[:100]


def unreachable(error: ClusterUnavailable) -> Conclusion:
    """Conclude from a cluster that tells nothing: that is no proof of anything."""
    return Conclusion(
        outcome=Outcome.INCONCLUSIVE,
        summary="The cluster could not be asked, so nothing is known about the cause.",
        confidence=0.0,
        missing=(f"an answer of the cluster: {error.detail}",),
    )
