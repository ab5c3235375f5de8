"""Signs of life: reports on tasks, renewals of leases, and the leases of those who are gone.

Theory of operation. They are many and none of them is urgent, so each kind is gathered and written in one
unit at a time, reports and renewals at least `flush_s` apart (see `reporting` for what that may lose).
Whoever only wants a sign noted does not wait, and learns of no failure: the lease goes on or ends by the
clock.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.settings import WorkSettings
from stellwerk.work.effects import Effects
from stellwerk.work.grouping import Grouper
from stellwerk.work.lease import Terms
from stellwerk.work.lifecycle import Change
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.reporting import (
    LogLimits,
    LogSizes,
    Report,
    renew_holders,
    shorten_leases,
    take_reports,
)
from stellwerk.work.seats import Seats
from stellwerk.work.task import Holder

SOME = 50
"""Reports that hold up the event loop for less than some milliseconds."""

AGAIN_S = 0.5
"""How long, beside two batches, the last frames of a connection may take through the database."""


class Signs:
    """See the module. All methods belong to the event loop."""

    def __init__(
        self,
        database: Database,
        seats: Seats,
        effects: Effects,
        *,
        terms: Terms,
        settings: WorkSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._seats = seats
        self._effects = effects
        self._terms = terms
        self._clock = clock
        self._log_limits = LogLimits(settings.log_line_bytes, settings.log_task_bytes)
        self._log_sizes = LogSizes()
        self._reports: Grouper[Report, Change] = Grouper(
            self._write_reports, most=1_000, under_way=1, apart_s=settings.flush_s
        )
        self._renewals: Grouper[Holder, None] = Grouper(
            self._write_renewals, most=5_000, under_way=1, apart_s=settings.flush_s
        )
        self._shortenings: Grouper[Holder, None] = Grouper(self._write_shortenings, most=5_000, under_way=1)
        self._again_s = 2 * settings.flush_s + AGAIN_S
        self._again: set[asyncio.TimerHandle] = set()

    def report(self, report: Report) -> "asyncio.Future[Change]":
        """Return the future step. Fails as `take_reports` says."""
        return self._reports.ask(report)

    def note(self, report: Report) -> None:
        """Take a report that nobody waits for."""
        self._reports.ask(report).add_done_callback(_forget_failure)

    def renew(self, holder: Holder) -> None:
        """Renew the holder's running leases soon."""
        self._renewals.ask(holder).add_done_callback(_forget_failure)

    def shorten(self, holder: Holder) -> None:
        """Let the leases of a holder that is gone end within the reconnect grace.

        Twice, because what it said last may still be on its way to the database, and renews what it names.
        """
        self._shorten(holder)

        def again() -> None:
            self._again.discard(timer)
            self._shorten(holder)

        timer = asyncio.get_running_loop().call_later(self._again_s, again)
        self._again.add(timer)

    async def shorten_all(self, holders: Iterable[Holder]) -> None:
        """Do so for several, and wait for it. Raises DatabaseUnavailable."""
        for future in [self._shortenings.ask(holder) for holder in holders]:
            await future

    def forget_log(self, task_id: str) -> None:
        """Forget how long the log of a task is: it was removed."""
        self._log_sizes.forget(task_id)

    async def finish(self) -> None:
        """Write what is pending, without the pauses."""
        for timer in self._again:
            timer.cancel()
        self._again.clear()
        for grouper in (self._reports, self._renewals, self._shortenings):
            await grouper.finish()

    def _shorten(self, holder: Holder) -> None:
        self._shortenings.ask(holder).add_done_callback(_forget_failure)

    async def _write_reports(self, reports: Sequence[Report]) -> Sequence[Change | Exception]:
        now_us = self._clock.now_us()
        # Each try of the unit gets sizes of its own: what an undone one counted was not kept.
        known = {report.task_id: self._log_sizes.get(report.task_id) for report in reports if report.lines}
        sizes: dict[str, int] = {}

        def unit() -> Unit[list[Change | WorkRefused]]:
            sizes.clear()
            sizes.update({task_id: size for task_id, size in known.items() if size is not None})
            return take_reports(reports, now_us, self._terms, self._log_limits, sizes)

        answers: list[Change | WorkRefused] = await self._database.write(unit, aside=len(reports) > SOME)
        for task_id, size in sizes.items():
            self._log_sizes.put(task_id, size)
        self._effects.changed([answer for answer in answers if isinstance(answer, Change)])
        return answers

    async def _write_renewals(self, holders: Sequence[Holder]) -> Sequence[Exception | None]:
        now_us = self._clock.now_us()
        await self._database.write(lambda: renew_holders(list(set(holders)), now_us, self._terms), aside=True)
        return [None] * len(holders)

    async def _write_shortenings(self, holders: Sequence[Holder]) -> Sequence[Exception | None]:
        until = self._clock.now_us() + self._terms.grace_us
        gone = list({holder for holder in holders if self._seats.get(holder) is None})
        if gone:  # Who has come back meanwhile keeps its leases as they are.
            await self._database.write(lambda: shorten_leases(gone, until), aside=True)
        return [None] * len(holders)


def _forget_failure(future: "asyncio.Future[Any]") -> None:
    """Let a hint fail in silence: the lease it was about ends or goes on by the clock."""
    if not future.cancelled():
        future.exception()
