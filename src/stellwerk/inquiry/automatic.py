"""Investigations that are opened by ourselves, because a service of ours became unhealthy: once per cause.

Theory of operation. Who watches tells each trouble once, in one process of all replicas. The loop opens a
session for it, unless one was opened for the same trouble of the same service lately, and notes it in the
journal beside the service's own events. While as many sessions are open as are allowed the trouble waits;
what waits is bounded, the oldest is left out first. A process that ends in between loses what waits: the
service stays unhealthy, and anybody can ask.
"""

from collections import deque
from collections.abc import Callable

import msgspec
import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.inquiry.model import ObjectRef, Target
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.inquiry.sessions.session import AtCapacity, Opening, Session, Signal
from stellwerk.inquiry.sessions.visibility import OURSELVES
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.release.watching.record import HealthChange
from stellwerk.settings import InquirySettings

SOURCE = "stellwerk.watching"
WAITING = 100
AGAIN_S = 5.0

Listen = Callable[[Callable[[HealthChange], None]], Callable[[], None]]
log = structlog.get_logger(__name__)


class Automatic:
    """See the module."""

    def __init__(
        self,
        investigations: Investigations,
        journal: Journal,
        listen: Listen,
        *,
        settings: InquirySettings,
        clock: Clock,
    ) -> None:
        self._investigations = investigations
        self._journal = journal
        self._listen = listen
        self._settings = settings
        self._clock = clock
        self._waiting: deque[HealthChange] = deque(maxlen=WAITING)
        self._unlisten: Callable[[], None] | None = None
        self.loop = Loop("inquiry.automatic", self._run)

    async def start(self) -> None:
        """Begin; again is no error."""
        if self._unlisten is None:
            self._unlisten = self._listen(self._changed)
        self.loop.start()

    async def stop(self) -> None:
        """End; again is no error."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await self.loop.stop()

    def _changed(self, change: HealthChange) -> None:
        if not change.well:
            self._waiting.append(change)
            self.loop.wake()

    async def _run(self) -> None:
        while await self.loop.rest(AGAIN_S if self._waiting else None):
            try:
                while self._waiting:
                    await self._open(self._waiting[0])
                    self._waiting.popleft()
            except (AtCapacity, DatabaseUnavailable) as error:
                log.info("an investigation waits to be opened", why=str(error))

    async def _open(self, change: HealthChange) -> None:
        cause = cause_key(change)
        since_us = self._clock.now_us() - int(self._settings.again_after_s * MICROSECONDS)
        if await self._investigations.opened_for(cause, since_us) is not None:
            return
        session = await self._investigations.open(opening_of(change), OURSELVES, cause_key=cause)
        await self._journal.record(_opened(change, session))


def cause_key(change: HealthChange) -> str:
    """Name a trouble: the same service with the same code is the same cause."""
    return f"{change.identity.application}/{change.identity.instance}/{change.service}/{change.code}"


def opening_of(change: HealthChange) -> Opening:
    """Say what is to be investigated."""
    key = change.key
    return Opening(
        target=Target(
            object=ObjectRef(key.kind, key.namespace, key.name, f"{key.group}/v1" if key.group else "v1"),
            signal=change.code,
            message=change.message,
            since=change.at,
        ),
        signal=Signal(
            incident_id=f"auto-{change.identity.application}-{change.service}-{change.at}",
            severity="high",
            source=SOURCE,
            labels={"service": change.service, "instance": change.identity.instance},
        ),
    )


def _opened(change: HealthChange, session: Session) -> Event:
    details = {"service": change.service, "instance": change.identity.instance, "sessionId": session.id}
    data = {
        "type": "info",
        "message": f"Investigation opened: {change.code}",
        "resourceKey": str(change.key),
        "details": details,
    }
    return Event(
        "deploy.investigation.opened",
        Retention.TASK,
        group=str(change.key),
        task=session.id,
        principal=OURSELVES,
        application=change.identity.application,
        data=msgspec.json.encode(data).decode(),
    )
