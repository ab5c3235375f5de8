"""Investigations: their parts, and what each needs of the others."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.inquiry.detective import Blind
from stellwerk.inquiry.model import Budget
from stellwerk.inquiry.remedies.choosing import NoCatalogue
from stellwerk.inquiry.sessions.retention import Retention
from stellwerk.inquiry.sessions.run import Tools
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.settings import InquirySettings, Settings


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Everything that investigates, started."""

    investigations: Investigations
    retention: Retention

    @property
    def loops(self) -> Iterator[Loop]:
        """What runs in the background."""
        yield self.investigations.loop
        yield self.retention.loop


async def start_inquiry(
    starting: contextlib.AsyncExitStack,
    database: Database,
    journal: Journal,
    settings: Settings,
    *,
    clock: Clock,
    cluster: Cluster,
) -> Inquiry:
    """Make and start it."""
    # One process alone has the embedded database: after a kill it takes its own locks back at once.
    holder = "here" if database.engine == "sqlite" else uuid.uuid4().hex
    ours = settings.inquiry
    tools = Tools(cluster, Blind(), NoCatalogue(), budget_of(ours), database, journal, clock)
    investigations = Investigations(tools, ours, holder=holder)
    retention = Retention(database, clock, days=ours.retention_days, holder=holder)
    for subject in (investigations, retention):
        await subject.start()
        starting.push_async_callback(subject.stop)
    return Inquiry(investigations, retention)


def budget_of(settings: InquirySettings) -> Budget:
    """Return what one investigation may cost."""
    return Budget(
        calls=settings.calls,
        size_bytes=settings.evidence_bytes,
        seconds=settings.collect_s,
        log_lines=settings.log_lines,
    )
