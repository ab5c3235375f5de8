"""The reconciler: compares everything now and then and, where that is wanted, repairs what drifted.

Theory of operation. Watches see drift at once; the reconciler's passes see what they cannot (kinds that we
may not watch, what was missed while nobody ran). A repair is an operation like others: it is recorded, runs
alone on its application instance, and applies again what the present release says. It is asked for only where
no operation is open, so it never waits behind one or cuts in; only for services whose last operation
succeeded and that are not paused; and with doubling pauses where the same drifts again. What belongs to
another application by now is left alone.

It runs in the replica that records what is watched. Everything is read afresh each turn; a restart loses
nothing.
"""

from collections.abc import Sequence
from enum import StrEnum

import structlog

from stellwerk.clock import MICROSECONDS
from stellwerk.database.errors import DatabaseUnavailable, LockLost
from stellwerk.loop import Loop
from stellwerk.release.operations.record import (
    Busy,
    OperationKind,
    Options,
    Prepared,
    Request,
    Unreadable,
)
from stellwerk.release.operations.service import CHANNEL, Operations
from stellwerk.release.operations.tools import Tools
from stellwerk.release.ownership import Identity
from stellwerk.release.watching import pacing, store
from stellwerk.release.watching.drift import DriftKind
from stellwerk.release.watching.record import DeploymentState, Repairs
from stellwerk.release.watching.service import LISTED_OPERATIONS, Watching, state_of

PASS_S = 300.0
"""Between comparisons of everything: they read every object once."""
LOOK_S = 1.0
"""Between looks for drift that the watches saw."""
BY = "reconciler"
"""Who asks for repairs, in the records."""

log = structlog.get_logger(__name__)


class Mode(StrEnum):
    """What is done about drift, beside seeing it."""

    OFF = "off"
    REPORT = "report"
    """Everything is compared now and then."""
    REPAIR = "repair"


class Reconciler:
    """Compares and repairs one application; see the module."""

    def __init__(
        self, tools: Tools, operations: Operations, watching: Watching, *, mode: Mode, pass_s: float = PASS_S
    ) -> None:
        self._tools = tools
        self._operations = operations
        self._watching = watching
        self._mode = mode
        self._pass_s = pass_s
        self.loop = Loop("release.reconciling", self._run, turn_s=120.0)

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background: nothing where it is off."""
        return () if self._mode is Mode.OFF else (self.loop,)

    async def start(self) -> None:
        """Begin, unless it is off; may be called more than once."""
        if self._mode is not Mode.OFF:
            self.loop.start()

    async def stop(self) -> None:
        """End; a repair that has begun goes on as the operation that it is. May be called more than once."""
        await self.loop.stop()

    async def _run(self) -> None:
        while await self.loop.rest(LOOK_S):
            try:
                if self._watching.records:
                    for identity in self._watching.instances():
                        await self._see_to(identity)
            except LockLost:
                continue
            except DatabaseUnavailable as error:
                log.warning("nothing can be reconciled now", detail=error.detail)

    async def _see_to(self, identity: Identity) -> None:
        if await self._operations.open(identity):
            return
        known = await self._tools.database.read(lambda: store.read_reconciling(identity))
        await self._compare(identity, known)
        if self._mode is Mode.REPAIR:
            await self._repair(identity, known)

    async def _compare(self, identity: Identity, known: dict[str, Repairs]) -> None:
        now_us = self._tools.clock.now_us()
        due = {
            service
            for service in self._watching.deployed(identity)
            if (looked := known.get(service, Repairs()).looked_at) is None
            or now_us - looked >= self._pass_s * MICROSECONDS
        }
        if due and await self._watching.examine(identity, due):
            await self._tools.database.write(lambda: store.put_looks(identity, due, now_us))

    async def _repair(self, identity: Identity, known: dict[str, Repairs]) -> None:
        drifts = [seen.drift for seen in (await self._watching.drift(identity)).values()]
        drifted = {drift.service for drift in drifts}
        # A repair is forced, since fields that others set are ours; an object that is theirs is not.
        drifted -= {drift.service for drift in drifts if drift.kind is DriftKind.TAKEN}
        if not drifted:
            return
        now_us = self._tools.clock.now_us()
        operations = await self._operations.list(identity, LISTED_OPERATIONS)
        for service in sorted(drifted):
            repairs = known.get(service, Repairs())
            own = [one for one in operations if service in one.services]
            if repairs.paused is not None or state_of(own) is not DeploymentState.DEPLOYED:
                continue
            if pacing.is_due(repairs.in_row, repairs.repaired_at, now_us):
                await self._begin(identity, service, repairs)
                return  # one operation at a time; the next turn sees to the others

    async def _begin(self, identity: Identity, service: str, repairs: Repairs) -> None:
        now_us = self._tools.clock.now_us()
        in_row = pacing.repairs_after(repairs.in_row, repairs.repaired_at, now_us)
        await self._tools.database.write(lambda: store.put_repair(identity, service, in_row, now_us))
        request = Request(
            OperationKind.REPAIR,
            identity,
            (service,),
            BY,
            Options(force=True, prune=False),
            note="repair of drift",
        )
        prepared = Prepared((), namespace=self._watching.namespace_of(identity))
        try:
            await self._operations.begin(request, prepared, on_busy="refuse")
        except Busy:
            return
        except Unreadable as error:
            log.warning("drift cannot be repaired", service=service, why=str(error))
        await self._tools.database.notify(CHANNEL)
