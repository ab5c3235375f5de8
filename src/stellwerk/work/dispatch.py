"""The dispatcher: one loop that leases waiting tasks to connected holders and hands them over.

Theory of operation. A wake-up says that something may have become possible: a task became ready, or a holder
came to have room. It never says what. Each pass then opens the queues that those with new room match, takes
the oldest open queues that somebody has room for, leases in ONE unit of work as many of their heads as there
is room, in rank order over all of them, and hands the assignments over after the commit. Whatever becomes
possible during a unit is the next pass's: under load the batches grow by themselves, at rest the loop
sleeps.

A pass costs what it leases. It looks at no more than QUEUE_LIMIT queues with work in them, and at no holder
that it does not choose; making the roster of a queue that was not asked for lately is the exception, and is
rationed.

Failures. The database refuses: nothing was leased, as far as we know; the choices are undone, and the loop
waits as long as it was told. (If the commit was lost in doubt, the acknowledgement deadline frees what
nobody got.) A holder leaves between choice and commit: its leases are handed back at once. Queues whose
heads are past their deadline, or whose form is not known yet, are looked at again a little later: the sweep
is about to remove the cause. A queue that was found empty at first and not at the end of the unit has what
another replica put there meanwhile, or is looking at: it is looked at again as soon as that may be over.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Unit
from stellwerk.loop import Loop
from stellwerk.settings import WorkSettings
from stellwerk.work.backlog import Backlog
from stellwerk.work.balancing.strategy import Roster
from stellwerk.work.choosing import Choice
from stellwerk.work.lease import terms_of
from stellwerk.work.leasing import Beginning, LeasedHeads, lease_heads
from stellwerk.work.rosters import Place
from stellwerk.work.seats import Seats
from stellwerk.work.task import Assignment, Holder, Waiting
from stellwerk.work.waiting import WaitingQueues

QUEUE_LIMIT = 64
"""Queues that one unit looks at: each costs an index look-up."""
_LOOK_LIMIT = 512
"""Queues that one pass tries to find somebody for before others get their turn."""
_DRAW_LIMIT = 20_000
"""Holders that one pass goes through to make rosters: some ten milliseconds."""
_CROSSED_S = 0.005
"""Pause before a queue is looked at again in which another replica is at work: as long as a unit takes."""
_FIRST_PAUSE_S = 0.05
"""After a refusal of the database; doubles up to what the database asks for. Overfull is soon over."""

_log = structlog.get_logger(__name__)

HandBack = Callable[[Sequence[Assignment]], Awaitable[object]]
"""Queues again what could not be handed over, without counting an attempt."""


class LeaseHeads(Protocol):
    """See `leasing.lease_heads`."""

    def __call__(
        self,
        queue_keys: Sequence[str],
        limit: int,
        choose: Callable[[Waiting], Holder | None],
        *,
        now_us: int,
        ack_deadline_us: int,
        beginning: Beginning | None,
    ) -> Unit[LeasedHeads]: ...


class Dispatcher:
    """See the module. All methods belong to the event loop; start and stop are idempotent."""

    def __init__(
        self,
        database: Database,
        seats: Seats,
        waiting: WaitingQueues,
        hand_back: HandBack,
        *,
        clock: Clock,
        settings: WorkSettings,
        leased: Callable[[], None] = lambda: None,
        lease: LeaseHeads = lease_heads,
    ) -> None:
        self._database = database
        self._seats = seats
        self._waiting = waiting
        self._hand_back = hand_back
        self._clock = clock
        self._settings = settings
        self._leased = leased
        self._lease = lease
        self._beginning = Beginning(self._begins, terms_of(settings))
        self._backlog = Backlog(seats.narrowest)
        self.loop = Loop("work.dispatch", self._run, finishes=True)
        waiting.on_flag(self.flag)
        seats.on_room(self.loop.wake)

    async def start(self) -> None:
        """Follow the flags of queues and the room of seats; flags set before count as well."""
        self.loop.wake()
        self.loop.start()

    async def stop(self) -> None:
        """Finish the unit in flight, hand over what it leased, and end."""
        await self.loop.stop()

    def flag(self, queue_key: str, rank_at: int | None = None) -> None:
        """Learn that a task became ready: after its commit."""
        if self._backlog.flag(queue_key, rank_at):
            self.loop.wake()

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while await self.loop.rest():
            try:
                await self._pass()
                pause_s = _FIRST_PAUSE_S
            except DatabaseUnavailable as refusal:
                _log.warning("dispatch waits for the database", detail=refusal.detail, pause_s=pause_s)
                await self.loop.pause(pause_s)
                self.loop.wake()
                pause_s = min(pause_s * 2, max(float(refusal.retry_after_s), _FIRST_PAUSE_S))

    async def _pass(self) -> None:
        """Lease once and hand over; wake the loop again if there is more to look at."""
        self._unblock()
        rosters = self._take_queues()
        if not rosters:
            await self._go_on()
            return
        limit = min(self._settings.dispatch_batch, sum(roster.free() for roster in rosters.values()))
        revision = self._waiting.revision
        choice = self._seats.borrow(rosters)
        found: LeasedHeads | None = None
        try:
            found = await self._database.write(lambda: self._begin(choice, tuple(rosters), limit))
        finally:
            self._seats.give_back(choice, found.assignments if found else ())
            self._put_back(rosters, choice, found, limit)
        self._waiting.drained(found.drained, revision)
        if found.assignments:
            self._leased()
            await self._hand_over(found.assignments)
        await self._go_on()

    async def _go_on(self) -> None:
        """Let others have their turn before the next pass, if there is one."""
        if self._backlog.has_open() or self._seats.has_newly_roomy():
            self.loop.wake()
            await asyncio.sleep(0)

    def _unblock(self) -> None:
        """Open the oldest that those with new room could take: one queue for each task that they may get."""
        for place in self._seats.newly_roomy():

            def suits(queue_key: str, place: Place = place) -> bool:
                return self._seats.suits(place, queue_key)

            if self._backlog.unblock(place.traits, suits, min(place.candidate.free, QUEUE_LIMIT)):
                self._seats.look_again(place)

    def _take_queues(self) -> dict[str, Roster]:
        """Take the oldest open queues that somebody has room for."""
        rosters: dict[str, Roster] = {}
        looked, drawn = 0, 0
        while len(rosters) < QUEUE_LIMIT and (queue_key := self._backlog.take()) is not None:
            looked += 1
            cost = self._seats.cost_of_roster(queue_key)
            if looked > _LOOK_LIMIT or (drawn and drawn + cost > _DRAW_LIMIT):
                self._backlog.open(queue_key, self._backlog.lowest(queue_key))
                break
            drawn += cost
            roster = self._seats.roster_of(queue_key)
            if roster is not None and roster.free():
                rosters[queue_key] = roster
            elif self._seats.knows(queue_key):
                self._backlog.block(queue_key, self._backlog.lowest(queue_key))
            else:
                self._look_later(queue_key)
        return rosters

    def _begin(self, choice: Choice, queue_keys: Sequence[str], limit: int) -> Unit[LeasedHeads]:
        choice.restart()
        return self._lease(
            queue_keys,
            limit,
            choice.choose,
            now_us=self._clock.now_us(),
            ack_deadline_us=int(self._settings.ack_deadline_s * MICROSECONDS),
            beginning=self._beginning,
        )

    def _begins(self, holder: Holder) -> bool:
        seat = self._seats.get(holder)
        return seat is not None and seat.begins()

    def _put_back(
        self, queue_keys: Iterable[str], choice: Choice, found: LeasedHeads | None, limit: int
    ) -> None:
        """Tell the backlog how each queue was left."""
        drained = frozenset(found.drained) if found else frozenset()
        for queue_key in queue_keys:
            lowest = self._backlog.lowest(queue_key)
            if queue_key in drained:
                self._backlog.drop(queue_key)
            elif found is None:
                self._backlog.open(queue_key, lowest)
            elif queue_key in choice.refused:
                self._backlog.block(queue_key, choice.refused[queue_key])
            elif len(found.assignments) == limit:
                self._backlog.open(queue_key, max(lowest, choice.reached.get(queue_key, lowest)))
            else:
                self._look_later(queue_key, None if queue_key in found.overdue else _CROSSED_S)

    def _look_later(self, queue_key: str, after_s: float | None = None) -> None:
        """Leave out a queue that has tasks but cannot be leased from; None: until the sweep was there."""
        self._backlog.drop(queue_key)
        pause_s = self._settings.sweep_s if after_s is None else after_s
        asyncio.get_running_loop().call_later(pause_s, self.flag, queue_key)

    async def _hand_over(self, assignments: Iterable[Assignment]) -> None:
        """Deliver to who is still there; the rest goes back into the queue."""
        by_holder: dict[Holder, list[Assignment]] = {}
        for assignment in assignments:
            by_holder.setdefault(assignment.holder, []).append(assignment)
        missed: list[Assignment] = []
        for holder, theirs in by_holder.items():
            seat = self._seats.get(holder)
            if seat is not None and seat.channel.alive:
                seat.channel.deliver(theirs)
                continue
            if seat is not None:
                self._seats.disconnect(seat)  # Else it would be chosen again before its end is noticed.
            missed += theirs
        if missed:
            await self._hand_back(missed)
