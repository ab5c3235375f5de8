"""Investigations and remedies: their parts, and what each needs of the others."""

import contextlib
import hmac
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stellwerk.app.errors import CannotStart
from stellwerk.app.releasing import Releasing
from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.fleet.service import Fleet
from stellwerk.inquiry.automatic import Automatic
from stellwerk.inquiry.deduction import Deduction
from stellwerk.inquiry.detective import Detective
from stellwerk.inquiry.model import Budget
from stellwerk.inquiry.reasoning.client import Connected
from stellwerk.inquiry.reasoning.conversation import ExtraMissing
from stellwerk.inquiry.reasoning.providers import check_installed
from stellwerk.inquiry.reasoning.reasoner import Reasoner
from stellwerk.inquiry.remedies import approval, catalogue
from stellwerk.inquiry.remedies.carrying import Tools as RemedyTools
from stellwerk.inquiry.remedies.catalogue import Catalogue
from stellwerk.inquiry.remedies.choosing import Chooser
from stellwerk.inquiry.remedies.executors.agents import AgentTasks
from stellwerk.inquiry.remedies.executors.executor import Executor
from stellwerk.inquiry.remedies.executors.patches import MAKERS
from stellwerk.inquiry.remedies.executors.patching import Patching
from stellwerk.inquiry.remedies.executors.releasing import Releasing as Releases
from stellwerk.inquiry.remedies.executors.shifting import Shifting
from stellwerk.inquiry.remedies.service import Remedies
from stellwerk.inquiry.remedies.verifying import Verifier
from stellwerk.inquiry.remedies.workflow import InvalidWorkflow, Workflow
from stellwerk.inquiry.sessions.retention import Retention
from stellwerk.inquiry.sessions.run import Tools
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import InquirySettings, LlmSettings, Settings
from stellwerk.trust.service import Keys
from stellwerk.work.service import Work

if TYPE_CHECKING:
    from stellwerk.inquiry.metrics.prometheus import Prometheus


class _Startable(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The subjects that investigations look at and remedies act through."""

    releasing: Releasing
    fleet: Fleet
    work: Work
    deployments: Deployments
    keys: Keys


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Everything that investigates, started."""

    investigations: Investigations
    catalogue: Catalogue
    remedies: Remedies
    retention: Retention
    automatic: Automatic | None
    prometheus: "Prometheus | None"

    @property
    def loops(self) -> Iterator[Loop]:
        """What runs in the background."""
        yield self.investigations.loop
        yield self.remedies.loop
        yield self.retention.loop
        if self.automatic is not None:
            yield self.automatic.loop


async def start_inquiry(
    starting: contextlib.AsyncExitStack,
    database: Database,
    journal: Journal,
    settings: Settings,
    *,
    clock: Clock,
    key: bytes,
    neighbours: Neighbours,
    detective: Detective | None = None,
) -> Inquiry:
    """Make and start it; `key` is that of the secrets at rest. Raises CannotStart."""
    # One process alone has the embedded database: after a kill it takes its own locks back at once.
    holder = "here" if database.engine == "sqlite" else uuid.uuid4().hex
    ours, releasing = settings.inquiry, neighbours.releasing
    workflows = Catalogue(database, journal, clock, workflows=_workflows(ours))
    reasoner = _reasoner(settings.llm, releasing)
    prometheus = metrics_of(starting, ours)
    chooser = Chooser(database, workflows, releasing.deployer, clock)
    tools = Tools(
        releasing.cluster,
        detective or Deduction(_sealing(key), prometheus),
        chooser,
        budget_of(ours),
        database,
        journal,
        clock,
        reasoner,
    )
    investigations = Investigations(tools, ours, holder=holder)
    if reasoner is not None:
        starting.push_async_callback(reasoner.close)
    remedies = Remedies(
        RemedyTools(
            investigations=investigations,
            catalogue=workflows,
            chooser=chooser,
            executors=executors_of(neighbours),
            verifier=Verifier(releasing.cluster, clock, limit_s=ours.verify_s),
            approvers=_approvers(neighbours.keys),
            database=database,
            journal=journal,
            clock=clock,
        ),
        ours,
        holder=holder,
    )
    retention = Retention(database, clock, days=ours.retention_days, holder=holder)
    automatic = None
    if ours.automatic:
        automatic = Automatic(investigations, journal, releasing.watching.listen, settings=ours, clock=clock)
    subjects: list[_Startable] = [investigations, remedies, retention]
    if automatic is not None:
        subjects.append(automatic)
    for subject in subjects:
        await subject.start()
        starting.push_async_callback(subject.stop)
    return Inquiry(investigations, workflows, remedies, retention, automatic, prometheus)


def _sealing(key: bytes) -> bytes:
    """Make a key for the hashes of Secrets' values, so that what leaks of it tells nothing of another."""
    return hmac.digest(key, b"stellwerk.inquiry.secrets", "sha256")


def metrics_of(starting: contextlib.AsyncExitStack, settings: InquirySettings) -> "Prometheus | None":
    """Return what measures the cluster, if that is configured; it is closed with the rest."""
    if settings.prometheus is None:
        return None
    # Its client of HTTP would cost every start.
    from stellwerk.inquiry.metrics.prometheus import Prometheus

    prometheus = Prometheus(
        settings.prometheus,
        token_file=settings.prometheus_token_file,
        ca_file=settings.prometheus_ca_file,
    )
    starting.push_async_callback(prometheus.close)
    return prometheus


def _reasoner(settings: LlmSettings, releasing: Releasing) -> Reasoner | None:
    if settings.provider is None:
        return None
    try:
        check_installed(settings.provider)
    except ExtraMissing as missing:
        raise CannotStart(str(missing)) from missing
    return Reasoner(Connected(settings), settings, releasing.cluster)


def budget_of(settings: InquirySettings) -> Budget:
    """Return what one investigation may cost."""
    return Budget(
        calls=settings.calls,
        size_bytes=settings.evidence_bytes,
        seconds=settings.collect_s,
        log_lines=settings.log_lines,
    )


def executors_of(neighbours: Neighbours) -> dict[str, Executor]:
    """Return who carries out which executor's orders."""
    patching, releases = Patching(neighbours.releasing.cluster), Releases(neighbours.releasing.deployer)
    return {
        **dict.fromkeys(MAKERS, patching),
        "release.rollback": releases,
        "release.redeploy": releases,
        "release.parameters": releases,
        "agent.task": AgentTasks(neighbours.work, neighbours.deployments),
        "traffic.weights": Shifting(neighbours.fleet),
    }


def _workflows(settings: InquirySettings) -> list[Workflow]:
    try:
        return [] if settings.workflows_dir is None else catalogue.of_folder(settings.workflows_dir)
    except (InvalidWorkflow, OSError) as error:
        raise CannotStart(f"inquiry.workflows_dir: {error}") from error


def _approvers(keys: Keys) -> Callable[[str, int], Sequence[str]]:
    def approvers(asked_by: str, now_us: int) -> Sequence[str]:
        return approval.approvers(keys.list(), asked_by, now_us)

    return approvers
