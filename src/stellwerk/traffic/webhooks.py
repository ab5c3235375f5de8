"""Telling the ends of executions to whom their callers named.

Theory of operation. A webhook is a row that is written with its execution. The loop finds those whose
execution has ended, claims an attempt by moving its time past it, tells in a task of its own, and writes what
came of it over the attempt that it was. Of several replicas one claims, so an end is told once; whoever is
killed between telling and writing leaves it to be told again, under the same execution id. Ends are noticed
at once where this process took the webhook on (whichever replica commits them), and by looking through those
that wait every few seconds, which finds also what a killed process had taken on. A receiver that is away is
tried again with growing pauses; how it stands is shown with the execution.
"""

import asyncio
import os
from typing import Protocol

import msgspec
import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import TrafficSettings
from stellwerk.traffic import store as executions
from stellwerk.traffic import webhook_store as store
from stellwerk.traffic.dialling import AnswerLost, DialForbidden, NotDialled
from stellwerk.traffic.execution import Execution, Hook
from stellwerk.traffic.webhook import Address, Attempted, check_address, next_attempt_at
from stellwerk.trust.vault.cipher import SecretUnreadable, seal, unseal
from stellwerk.work.service import Work
from stellwerk.work.task import Outcome

AT_ONCE = 8
"""Calls under way: each may hold a result of 32 MiB."""
LOOK_S = 5.0
PAGE = 500
MOST_WATCHED = 1_000
"""Executions whose end is noticed at once; those of more are found by looking."""
MARGIN_S = 30.0
"""How long beyond its call an attempt may take, for the database, before it counts as lost."""
STOP_S = 5.0

_log = structlog.get_logger(__name__)
_address = msgspec.json.Decoder(Address)


class Teller(Protocol):
    """Brings the end of an execution to an address, within the outbound policy."""

    async def tell(self, address: Address, execution: Execution, attempt: int) -> int:
        """Send it; return the status of the answer. Raises NotDialled, AnswerLost, DialForbidden."""
        ...


class Webhooks:
    """See the module. Start and stop are idempotent."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        work: Work,
        teller: Teller,
        *,
        key: bytes,
        settings: TrafficSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._journal = journal
        self._work = work
        self._teller = teller
        self._key = key
        self._settings = settings
        self._clock = clock
        self._watched: dict[str, asyncio.Future[Outcome]] = {}
        self._ended: set[str] = set()
        """Where to look first; the rows tell whether they have."""
        self._walk_at = 0.0
        self._telling: set[asyncio.Task[None]] = set()
        self.loop = Loop("traffic.webhooks", self._run)

    async def start(self) -> None:
        """Go on telling what is due."""
        self.loop.start()

    async def stop(self) -> None:
        """Begin nothing more; wait a moment for what is under way."""
        await self.loop.stop()
        for execution_id, ended in self._watched.items():
            self._work.entrusting.forget(execution_id, ended)
        self._watched.clear()
        if self._telling:
            _, late = await asyncio.wait(self._telling, timeout=STOP_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def seal(self, address: Address) -> Hook:
        """Check a webhook and make it fit to be kept. Raises InvalidWebhook."""
        check_address(address)
        hook_id = f"hook_{os.urandom(16).hex()}"
        return Hook(hook_id, seal(self._key, hook_id, 1, msgspec.json.encode(address).decode()))

    def registered(self, execution: Execution) -> None:
        """Watch for the end of an execution that has a webhook; call it when the execution is durable."""
        known = execution.finished or execution.id in self._watched
        if not known and len(self._watched) < MOST_WATCHED:
            ended = self._work.entrusting.expect(execution.id)
            self._watched[execution.id] = ended
            ended.add_done_callback(lambda _: self._has_ended(execution.id))
        # It may have ended before anybody watched.
        self._ended.add(execution.id)
        self.loop.wake()

    def _has_ended(self, execution_id: str) -> None:
        if self._watched.pop(execution_id, None) is not None:
            self._ended.add(execution_id)
            self.loop.wake()

    async def _run(self) -> None:
        going = True
        while going:
            idle_s = LOOK_S
            try:
                await self._find_ended()
                await self._begin_due()
                idle_s = await self._idle_s()
            except DatabaseUnavailable as unavailable:
                _log.warning("webhooks are not called now", detail=unavailable.detail)
            going = await self.loop.rest(idle_s)

    async def _find_ended(self) -> None:
        asked, self._ended = self._ended, set()
        try:
            await self._end(sorted(asked))
        except DatabaseUnavailable:
            self._ended |= asked
            raise
        now = asyncio.get_running_loop().time()
        if now < self._walk_at:
            return
        after: str | None = ""
        while after is not None:
            here = after
            ended, after = await self._database.read(lambda here=here: store.read_waiting(here, PAGE))  # type: ignore[misc]
            await self._end(ended)
            self.loop.advance()
        self._walk_at = now + LOOK_S

    async def _end(self, execution_ids: list[str]) -> None:
        if execution_ids:
            now_us = self._clock.now_us()
            await self._database.write(lambda: store.end_some(execution_ids, now_us))

    async def _begin_due(self) -> None:
        room = AT_ONCE - len(self._telling)
        if room <= 0:
            return
        now_us = self._clock.now_us()
        until = now_us + int((self._settings.webhook_timeout_s + MARGIN_S) * MICROSECONDS)
        for due in await self._database.read(lambda: store.read_due(now_us, room)):
            claimed = await self._database.write(lambda due=due: store.claim(due, until))  # type: ignore[misc]
            if claimed is not None:
                task = asyncio.create_task(self._tell(claimed))
                self._telling.add(task)
                task.add_done_callback(self._told)

    async def _idle_s(self) -> float:
        if len(self._telling) >= AT_ONCE:
            return LOOK_S  # The end of one of them wakes the loop.
        next_at = await self._database.read(store.read_next)
        if next_at is None:
            return LOOK_S
        return min(LOOK_S, max(0.0, (next_at - self._clock.now_us()) / MICROSECONDS))

    def _told(self, task: "asyncio.Task[None]") -> None:
        self._telling.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("a webhook could not be called; it is tried again", exc_info=fault)
        self.loop.wake()

    async def _tell(self, claimed: store.Claim) -> None:
        """Make one attempt and write what came of it; what cannot be written is attempted again."""
        attempted = await self._attempt(claimed)
        now_us = self._clock.now_us()
        again_at = next_attempt_at(attempted, claimed.attempts, now_us, self._settings)
        await self._database.write(lambda: store.settle(claimed, attempted, again_at, now_us))
        if again_at is None:
            self._journal.committed()

    async def _attempt(self, claimed: store.Claim) -> Attempted:
        shown = await self._database.read(lambda: executions.read_shown(claimed.task_id))
        if shown is None:
            return Attempted(status=None, error="the execution was removed", final=True)
        hook = claimed.hook
        try:
            address = _address.decode(unseal(self._key, hook.id, 1, hook.sealed))
            status = await self._teller.tell(address, shown.execution, claimed.attempts)
        except (SecretUnreadable, DialForbidden) as error:
            return Attempted(status=None, error=str(error), final=True)
        except (NotDialled, AnswerLost) as error:
            return Attempted(status=None, error=str(error))
        taken = 200 <= status < 300
        return Attempted(status=status, error=None if taken else f"the receiver answered {status}")
