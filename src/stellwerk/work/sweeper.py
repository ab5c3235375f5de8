"""The background pass over tasks: repeats the steps of `sweeping` until nothing is left, again and again.

Theory of operation. One replica sweeps: whoever holds the lock `work.sweep`. The steps are safe without it
(each locks the rows that it changes and checks them again); it only keeps replicas from doing the same
work. A step that fails because the database cannot answer is repeated with the next pass. Nothing is
remembered between passes.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from uuid import uuid4

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Unit
from stellwerk.loop import Loop
from stellwerk.settings import WorkSettings
from stellwerk.work import sweeping
from stellwerk.work.effects import Effects
from stellwerk.work.forms import Forms
from stellwerk.work.lease import terms_of
from stellwerk.work.lifecycle import Change

LOCK = "work.sweep"
_LOCK_US = 30 * MICROSECONDS
_DAY_US = 86_400 * MICROSECONDS
_PRUNE_EVERY_US = 60 * MICROSECONDS
_FORMS_AT_ONCE = 200

_log = structlog.get_logger(__name__)


class Sweeper:
    """See the module. Start and stop are idempotent."""

    def __init__(
        self, database: Database, effects: Effects, forms: Forms, *, settings: WorkSettings, clock: Clock
    ) -> None:
        self._database = database
        self._effects = effects
        self._forms = forms
        self._settings = settings
        self._terms = terms_of(settings)
        self._clock = clock
        self._lock = database.lock(LOCK, uuid4().hex)
        self._pruned_at = 0
        self._sweeping = asyncio.Lock()
        self.loop = Loop("work.sweep", self._run, finishes=True)

    async def start(self) -> None:
        self.loop.wake()
        self.loop.start()

    async def stop(self) -> None:
        """Finish the step under way and let the lock go."""
        await self.loop.stop()
        if self._lock.fence is not None:
            with contextlib.suppress(DatabaseUnavailable):
                await self._lock.release()

    async def sweep(self) -> None:
        """Do what time demands: leases, deadlines, delayed tasks."""
        async with self._sweeping:
            await self._repeat(lambda now_us: sweeping.expire_leases(now_us, self._terms, random.random))
            await self._repeat(lambda now_us: sweeping.pass_deadlines(now_us, self._terms))
            await self._release_due()

    async def prune(self) -> None:
        """Remove what is kept no longer: ended tasks, idempotency keys, unused forms."""
        now_us = self._clock.now_us()
        before = now_us - int(self._settings.retention_days * _DAY_US)
        until = now_us - int(self._settings.idempotency_s * MICROSECONDS)
        await self._until_few(
            lambda: self._database.write(lambda: sweeping.remove_finished(before), aside=True)
        )
        await self._until_few(lambda: self._database.write(lambda: sweeping.forget_keys(until), aside=True))
        if len(self._forms) > self._settings.form_limit // 2:
            await self._forget_forms()

    async def _run(self) -> None:
        while await self.loop.rest(self._settings.sweep_s):
            try:
                if await self._is_ours():
                    await self.sweep()
                    if self._clock.now_us() - self._pruned_at >= _PRUNE_EVERY_US:
                        self._pruned_at = self._clock.now_us()
                        await self.prune()
            except DatabaseUnavailable as unavailable:
                _log.warning("the sweep of tasks is put off", detail=unavailable.detail)

    async def _is_ours(self) -> bool:
        if self._database.engine == "sqlite":
            return True  # Nobody else can open the data directory.
        now_us = self._clock.now_us()
        if self._lock.fence is not None and await self._lock.renew(now_us, _LOCK_US):
            return True
        return await self._lock.take(now_us, _LOCK_US) is not None

    async def _repeat(self, step: Callable[[int], Unit[list[Change]]]) -> None:
        while True:
            self.loop.advance()
            now_us = self._clock.now_us()
            changes = await self._database.write(
                lambda now_us=now_us: step(now_us),  # type: ignore[misc]
                aside=True,
            )
            self._effects.changed(changes)
            if len(changes) < sweeping.STEP:
                return

    async def _release_due(self) -> None:
        while True:
            self.loop.advance()
            now_us = self._clock.now_us()
            due = await self._database.write(
                lambda now_us=now_us: sweeping.release_due(now_us),  # type: ignore[misc]
                aside=True,
            )
            for queue_key, rank_at in due:
                self._effects.ready(queue_key, rank_at)
            if len(due) < sweeping.STEP:
                return

    async def _until_few(self, step: Callable[[], Awaitable[int]]) -> None:
        while await step() == sweeping.STEP and not self.loop.stopping:
            self.loop.advance()

    async def _forget_forms(self) -> None:
        counters = await self._database.counters("form.")
        unused = {
            form_id: form
            for form_id in self._forms.ids()
            if counters.get(f"form.{form_id}", 0) <= 0 and (form := self._forms.get(form_id)) is not None
        }
        # Forgotten here first: a submission that comes meanwhile then puts its form back, here and in the
        # database.
        self._forms.forget(unused)
        form_ids = list(unused)
        for start in range(0, len(form_ids), _FORMS_AT_ONCE):
            some = form_ids[start : start + _FORMS_AT_ONCE]
            gone = set(await self._database.write(lambda some=some: sweeping.forget_forms(some)))  # type: ignore[misc]
            for form_id in some:
                if form_id not in gone:
                    self._forms.put(form_id, unused[form_id])
