"""Investigations whose detective says what a test wants."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.scenarios.recording import read

from stellwerk.clock import Clock, SystemClock
from stellwerk.database.database import Database
from stellwerk.inquiry.detective import Progress
from stellwerk.inquiry.linking.concluding import conclude
from stellwerk.inquiry.model import (
    Budget,
    Bundle,
    CausalStep,
    Conclusion,
    Evidence,
    Finding,
    ObjectRef,
    Outcome,
    Spent,
    Target,
)
from stellwerk.inquiry.reasoning.client import Connected
from stellwerk.inquiry.reasoning.reasoner import Reasoner
from stellwerk.inquiry.remedies.catalogue import packaged
from stellwerk.inquiry.remedies.choice import Choice, Chosen
from stellwerk.inquiry.remedies.selection import Circumstances, chosen, select
from stellwerk.inquiry.remedies.workflow import Precondition, Workflow
from stellwerk.inquiry.sessions.run import Tools
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.inquiry.sessions.session import Opening, Signal
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.sandbox.sandbox import Sandbox
from stellwerk.settings import InquirySettings, JournalSettings, LlmSettings

BUNDLES = Path(__file__).parent.parent / "unit" / "inquiry" / "bundles"

FRONTEND = ObjectRef("Deployment", "shop", "frontend", "apps/v1")
BAD_IMAGE = Conclusion(
    outcome=Outcome.NO_WORKFLOW,
    summary="Deployment/frontend in shop wants image shop:v2, which the registry does not have",
    confidence=0.95,
    cause="ImagePullFailed",
    root_objects=(FRONTEND,),
    causal_chain=(CausalStep(summary="image shop:v2 not found", object=FRONTEND, evidence=("e1",)),),
    contributing_factors=("no pull policy",),
    remediation_target=FRONTEND,
    facts={"container": "main", "image": "shop:v2"},
    findings=(
        Finding(code="ImagePullFailed", object=FRONTEND, summary="image shop:v2 not found", evidence=("e1",)),
    ),
    evidence=(Evidence(id="e1", source="event", object=FRONTEND, excerpt="manifest unknown"),),
    detected_labels={"stateful": False},
)


@dataclass
class ScriptedDetective:
    """Collects a bundle of nothing, concludes what it is told to, and stops where a test wants."""

    conclusion: Conclusion = BAD_IMAGE
    lines: tuple[str, ...] = ("Analyzing pod logs...",)
    error: Exception | None = None
    collected: int = 0
    concluded: int = 0
    looking: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when collecting has begun."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """What collecting waits for, if it is to be held."""
    held: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when collecting has ended, or was cut off."""

    async def collect(
        self, cluster: Cluster, target: Target, *, budget: Budget, clock: Clock, progress: Progress
    ) -> Bundle:
        self.collected += 1
        for line in self.lines:
            progress(line)
        self.looking.set()
        try:
            if self.held:
                await self.go_on.wait()
        finally:
            self.left.set()
        if self.error is not None:
            raise self.error
        return Bundle(target=target, at=clock.now_us(), spent=Spent(calls=7, seconds=0.5))

    def conclude(self, bundle: Bundle) -> Conclusion:
        self.concluded += 1
        return self.conclusion


class RecordedDetective:
    """Collects what was seen of a real fault, and concludes as ever."""

    def __init__(self, recorded: str) -> None:
        """`recorded`: name of a bundle: `image-tag-absent.0`."""
        self.bundle = read(BUNDLES / f"{recorded}.json.gz").bundle

    async def collect(
        self, cluster: Cluster, target: Target, *, budget: Budget, clock: Clock, progress: Progress
    ) -> Bundle:
        return self.bundle

    def conclude(self, bundle: Bundle) -> Conclusion:
        return conclude(bundle)


class NoChoice:
    """Finds no remedy."""

    async def choose(self, conclusion: Conclusion) -> Chosen:
        return Chosen()

    async def options(self, chosen: Chosen) -> list[Workflow]:
        return []

    async def prefer(self, conclusion: Conclusion, workflow_id: str) -> Choice | None:
        return None


class RuledChoice:
    """Chooses by the rule, of the packaged workflows, for a target of which these things hold."""

    def __init__(self, *holds: Precondition) -> None:
        self.at = Circumstances(frozenset(holds))
        self.workflows = packaged()

    async def choose(self, conclusion: Conclusion) -> Chosen:
        return select(conclusion, self.at, self.workflows)

    async def options(self, chosen: Chosen) -> list[Workflow]:
        first = [chosen.choice.workflow_id] if chosen.choice else []
        ids = [*first, *(one.workflow_id for one in chosen.alternatives)]
        return [one for wanted in ids for one in self.workflows if one.id == wanted]

    async def prefer(self, conclusion: Conclusion, workflow_id: str) -> Choice | None:
        return chosen(next(one for one in self.workflows if one.id == workflow_id), conclusion, self.at)


class Office:
    """Investigations over a database, with a scripted detective."""

    def __init__(
        self,
        database: Database,
        detective: Any = None,
        *,
        holder: str = "here",
        chooser: Any = None,
        llm: LlmSettings | None = None,
        **settings: Any,
    ) -> None:
        self.detective = detective or ScriptedDetective()
        reasoner = None if llm is None else Reasoner(Connected(llm), llm, Sandbox())
        self.journal = Journal(database, JournalSettings(), SystemClock())
        self.tools = Tools(
            Sandbox(),
            self.detective,
            chooser or NoChoice(),
            Budget(),
            database,
            self.journal,
            SystemClock(),
            reasoner,
        )
        self.settings = InquirySettings(**settings)
        self.investigations = Investigations(self.tools, self.settings, holder=holder)

    async def start(self) -> None:
        """Begin to carry sessions through."""
        await self.investigations.start()

    async def stop(self) -> None:
        """Cut off what is running."""
        await self.investigations.stop()
        await self.journal.stop()

    async def told(self, session_id: str) -> list[str]:
        """List the kinds of events of a session."""
        page = await self.journal.page(EventFilter(task=session_id), limit=500)
        return [one.kind for one in page.events]


def opening(incident: str = "inc-1", target: ObjectRef = FRONTEND) -> Opening:
    """Ask for an investigation of the frontend."""
    return Opening(
        target=Target(object=target, signal="KubePodCrashLooping"),
        signal=Signal(incident_id=incident, remediation_id="rem-1", severity="high"),
    )
