"""Hand what holders say about their tasks to the units that settle them, many messages in one."""

import asyncio
from collections.abc import Sequence

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.work.effects import Effects
from stellwerk.work.grouping import Grouper, groups_under_way
from stellwerk.work.lease import Terms
from stellwerk.work.lifecycle import Change
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.settling import Done, Failed, HandedBack, Message, settle_tasks
from stellwerk.work.task import Assignment


class Settlement:
    """Takes messages; each has its own answer, after the commit."""

    def __init__(self, database: Database, effects: Effects, terms: Terms, clock: Clock) -> None:
        self._database = database
        self._effects = effects
        self._terms = terms
        self._clock = clock
        self._messages: Grouper[Message, Change] = Grouper(
            self._write, under_way=groups_under_way(database.engine)
        )

    def ask(self, message: Message) -> "asyncio.Future[Change]":
        """Return the future step; it is taken also if nobody waits for it. Fails as `settle_tasks` says."""
        return self._messages.ask(message)

    async def hand_back_all(self, assignments: Sequence[Assignment]) -> None:
        """Give back what could not be handed over; leases that have ended meanwhile are left alone."""
        asked = [self.ask(HandedBack(one.holder, one.task_id, one.fence, unsent=True)) for one in assignments]
        for future in asked:
            try:
                await future
            except WorkRefused:
                continue

    async def finish(self) -> None:
        """Wait until everything asked so far is answered."""
        await self._messages.finish()

    async def _write(self, messages: Sequence[Message]) -> Sequence[Change | Exception]:
        now_us = self._clock.now_us()
        answers = await self._database.write(lambda: settle_tasks(messages, now_us, self._terms))
        results = {
            message.task_id: message.kept for message in messages if isinstance(message, Done | Failed)
        }
        self._effects.changed([answer for answer in answers if isinstance(answer, Change)], results)
        return answers
