"""Keep the queue's memory in step with what happened elsewhere: registrations, other replicas, a restart.

Every look reads everything that it is about afresh; what led to it only says when.
"""

from stellwerk.database.database import Database
from stellwerk.fleet.service import Fleet
from stellwerk.work import reading
from stellwerk.work.effects import Effects
from stellwerk.work.forms import Forms, read_forms
from stellwerk.work.leasing import waiting_queues
from stellwerk.work.offering import accepts, offer
from stellwerk.work.outcomes import Outcomes
from stellwerk.work.replicas import ENDED, READY, STOPPING, Replicas
from stellwerk.work.seats import Seat, Seats
from stellwerk.work.waiting import WaitingQueues


class Following:
    """See the module. All methods belong to the event loop."""

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        *,
        seats: Seats,
        waiting: WaitingQueues,
        forms: Forms,
        outcomes: Outcomes,
        replicas: Replicas,
        effects: Effects,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._seats = seats
        self._waiting = waiting
        self._forms = forms
        self._outcomes = outcomes
        self._replicas = replicas
        self._effects = effects
        fleet.on_change(self._follow)
        replicas.look_for(READY, self.look_for_ready)
        replicas.look_for(ENDED, self._look_for_ended)
        replicas.look_for(STOPPING, self._look_for_stopping)

    async def start(self) -> None:
        """Read what waits, then follow the other replicas; again is no error. Raises DatabaseUnavailable."""
        for form_id, form in await self._database.read(read_forms):
            self._forms.put(form_id, form)
        await self.look_for_ready(False)
        await self._replicas.start()

    async def stop(self) -> None:
        """Follow no more; again is no error."""
        await self._replicas.stop()

    async def look_for_ready(self, hinted: bool) -> None:
        """Flag the queues that have something. `hinted`: a replica said so, perhaps this one."""
        waiting = await self._database.read(waiting_queues)
        unknown = self._forms.unknown(queue_key for queue_key, _ in waiting)
        if unknown:
            for form_id, form in await self._database.read(lambda: read_forms(unknown)):
                self._forms.put(form_id, form)
        for queue_key, rank_at in waiting:
            # A hint may be our own come back: whoever was to be woken by it has been.
            if not (hinted and self._waiting.is_flagged(queue_key)):
                self._waiting.flag(queue_key, rank_at)

    def catch_up(self, seat: Seat) -> None:
        """Let a new seat follow what changed while it was being made: it was not there to be told."""
        view = self._fleet.get(seat.holder.group)
        if view is not None and view.instance(seat.holder.instance) is not None:
            self._follow(seat.holder.group)

    def _follow(self, group: str) -> None:
        """Let the seats of a group follow its registration."""
        seats = self._seats.of_group(group)
        view = self._fleet.get(group) if seats else None
        for seat in seats:
            instance = view.instance(seat.holder.instance) if view is not None else None
            if view is None or instance is None:
                self._seats.change(seat.holder, seat.attributes, accepting=False)
                continue
            self._seats.change(
                seat.holder,
                offer(view, instance, certified=seat.attributes.certified),
                accepting=accepts(instance),
                weight=instance.weight_hint,
            )

    async def _look_for_ended(self, _hinted: bool) -> None:
        await self._outcomes.look()

    async def _look_for_stopping(self, _hinted: bool) -> None:
        if len(self._seats) == 0:
            return
        for task_id, fence, holder, reason in await self._database.read(reading.read_stopping):
            self._effects.stop_attempt(holder, task_id, fence, reason)
