"""Seats: the holders that are connected now, and how much each can still take.

Theory of operation. All methods belong to the event loop, but a lease unit may choose holders in the
database's thread, and its commit takes turns of the loop in any case. So the dispatcher borrows the figures
for the length of one unit (`borrow`): until it gives them back (`give_back`) the unit alone changes them, and
whatever happens meanwhile (a holder connects, a task ends) waits in line and is applied afterwards in order.
Who is connected (`get`) is never borrowed: the dispatcher asks again after the commit, and work for somebody
who has left meanwhile is handed back.

A holder's free capacity is its capacity less the leases that it holds, and those are kept by task and fence:
a lease that ends twice is uncounted once.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from stellwerk.fleet.health import load_fraction
from stellwerk.work.balancing.candidate import Candidate
from stellwerk.work.balancing.catalogue import make_strategy
from stellwerk.work.balancing.strategy import Roster, StrategyName
from stellwerk.work.choosing import Choice
from stellwerk.work.matching import Attributes
from stellwerk.work.requirements import Form
from stellwerk.work.rosters import Place, Rosters
from stellwerk.work.task import Assignment, Holder
from stellwerk.work.traits import Trait

_LEAST_WEIGHT = 0.001
"""A weight of nothing would keep tasks waiting for good; who wants none is set to maintenance."""
_CHUNK = 16
"""Holders that a new strategy meets before others get their turn: some milliseconds for a ring."""


def _acknowledges() -> bool:
    return False


class Channel(Protocol):
    """The way to a connected holder: a WebSocket or a pusher. Never blocks, never raises."""

    @property
    def alive(self) -> bool:
        """Whether what is delivered now has a chance to arrive."""
        ...

    def deliver(self, assignments: Sequence[Assignment]) -> None:
        """Hand over work whose leases are durable."""
        ...

    def cancel(self, task_id: str, fence: int, reason: str) -> None:
        """Ask to stop one attempt; `reason` is the task's: requested, timed_out."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Seat:
    """One connected holder. Compared by identity: a holder that comes back has a new seat."""

    holder: Holder
    attributes: Attributes
    capacity: int
    """Tasks at once."""
    channel: Channel
    accepting: bool = True
    """False in maintenance, error, inactive or offline: it gets nothing new."""
    weight: float | None = None
    """`metadata.weight`; None means 1."""
    succeeded: int = 0
    failed: int = 0
    response_ms: float | None = None
    """Average run time so far; None or 0 mean unknown."""
    load: Mapping[str, float] = field(default_factory=dict)
    """Load as last reported."""
    begins: Callable[[], bool] = _acknowledges
    """Whether what it is given counts as begun from then on: it will not say that it begins."""


class SeatFigures(NamedTuple):
    """Sums over the connected holders."""

    accepting: int
    """Those that take new work, full ones included."""
    active: int
    """Leases that they hold."""
    weighted: int
    """Those that asked for a weight of their own."""


class Seats:
    """The connected holders. `form_of` says what a form id asks, None if it is not known (yet)."""

    def __init__(
        self,
        form_of: Callable[[str], Form | None],
        strategy: StrategyName = StrategyName.LEAST_CONNECTIONS,
    ) -> None:
        self._seats: dict[Holder, Seat] = {}
        self._groups: dict[str, dict[Holder, Seat]] = {}
        self._rosters = Rosters(make_strategy(strategy), form_of)
        self._numbers = 0
        self._roomy: dict[Holder, Place] = {}
        self._later: list[Callable[[], None]] | None = None
        self._wake: Callable[[], None] = lambda: None
        self._switching = asyncio.Lock()

    # Who is there

    def connect(self, seat: Seat, held: Iterable[tuple[str, int]] = ()) -> Seat | None:
        """Seat a holder that already holds these (task, fence) leases; return the seat that it replaces."""
        replaced = self._seats.get(seat.holder)
        self._seats[seat.holder] = seat
        self._groups.setdefault(seat.holder.group, {})[seat.holder] = seat
        fences = dict(held)
        self._apply(lambda: self._enter(seat, fences))
        return replaced

    def disconnect(self, seat: Seat) -> bool:
        """Take the seat away; False if it is not the holder's seat (any more), and then nothing happens."""
        if self._seats.get(seat.holder) is not seat:
            return False
        del self._seats[seat.holder]
        of_group = self._groups[seat.holder.group]
        del of_group[seat.holder]
        if not of_group:
            del self._groups[seat.holder.group]
        self._apply(lambda: self._leave(seat.holder))
        return True

    def get(self, holder: Holder) -> Seat | None:
        """Return the seat of a connected holder."""
        return self._seats.get(holder)

    def of_group(self, group: str) -> list[Seat]:
        """Return the seats of a group's connected instances."""
        return list(self._groups.get(group, {}).values())

    def everybody(self) -> list[Seat]:
        """Return all seats."""
        return list(self._seats.values())

    def __len__(self) -> int:
        return len(self._seats)

    # What happens to them

    def change(
        self, holder: Holder, attributes: Attributes, *, accepting: bool, weight: float | None = None
    ) -> None:
        """Follow a change of registration, condition, presence or health. No error if it is not connected."""

        def apply(place: Place) -> None:
            place.candidate.accepting = accepting
            place.candidate.weight = _weight(weight)
            place.candidate.capabilities = attributes.capabilities
            self._rosters.change(place, attributes)
            self._has_room(place)

        self._update(holder, apply)

    def report(self, holder: Holder, load: Mapping[str, float]) -> None:
        """Take note of reported load. No error if it is not connected."""
        self._update(holder, lambda place: _take_report(place.candidate, load))

    def outcome(self, holder: Holder, ok: bool, response_ms: float) -> None:
        """Learn how a task ended, before or after `release`. No error if the holder is not connected."""
        self._update(holder, lambda place: place.candidate.learn(ok, response_ms))

    def hold(self, holder: Holder, task_id: str, fence: int) -> None:
        """Count a lease that came about by a claim; those of the dispatcher are counted already."""
        self._update(holder, lambda place: _hold(place, task_id, fence))

    def release(self, holder: Holder, task_id: str, fence: int) -> None:
        """Uncount a lease that has ended: settled, handed back, expired or lost. Again: no effect."""
        if self._later is None:
            self._release(holder, task_id, fence)
        else:
            self._later.append(lambda: self._release(holder, task_id, fence))

    def held(self, holder: Holder) -> dict[str, int]:
        """Return the leases that are counted for a holder, fences by task."""
        place = self._rosters.get(holder)
        return dict(place.held) if place else {}

    # Choosing

    @property
    def strategy(self) -> StrategyName:
        """The strategy that chooses now."""
        return self._rosters.strategy.name

    async def switch(self, name: StrategyName) -> None:
        """Choose by another strategy from now on; the old one serves until the new one knows everybody."""
        async with self._switching:
            if name is self.strategy:
                return
            strategy = make_strategy(name)
            everybody = self._rosters.everybody()
            for start in range(0, len(everybody), _CHUNK):
                for place in everybody[start : start + _CHUNK]:
                    strategy.arrive(place.candidate)
                await asyncio.sleep(0)
            done = asyncio.get_running_loop().create_future()

            def apply() -> None:
                # Who came or left while the new strategy was introduced; then the change is one step.
                before = {place.candidate for place in everybody}
                now = {place.candidate for place in self._rosters.everybody()}
                for candidate in before - now:
                    strategy.leave(candidate)
                for candidate in now - before:
                    strategy.arrive(candidate)
                self._rosters.use(strategy)
                if not done.done():  # Whoever asked may have gone.
                    done.set_result(None)

            self._apply(apply)
            await done

    def roster_of(self, queue_key: str) -> Roster | None:
        """Return who matches a queue; None if nobody does or its form is not known. Not while borrowed."""
        return self._rosters.of_queue(queue_key)

    def cost_of_roster(self, queue_key: str) -> int:
        """Return how many holders `roster_of` would have to look at; 0 if the roster is in use."""
        return self._rosters.cost_of(queue_key)

    def narrowest(self, queue_key: str) -> Trait:
        """Return the trait that a queue asks for and fewest of the connected holders have."""
        return self._rosters.narrowest(queue_key)

    def suits(self, place: Place, queue_key: str) -> bool:
        """Tell whether a holder matches a queue."""
        return self._rosters.suits(place, queue_key)

    def knows(self, queue_key: str) -> bool:
        """Tell whether the form of a queue is known."""
        return self._rosters.knows(queue_key)

    def on_room(self, wake: Callable[[], None]) -> None:
        """Call back when somebody comes to have room, or with room comes to match something else."""
        self._wake = wake

    def newly_roomy(self) -> list[Place]:
        """Return who has come to have room since the last call."""
        roomy = [place for place in self._roomy.values() if place.candidate.free]
        self._roomy.clear()
        return roomy

    def look_again(self, place: Place) -> None:
        """Count a holder as newly roomy once more: not everything that it could take was looked at."""
        self._roomy[place.candidate.holder] = place

    def has_newly_roomy(self) -> bool:
        """Tell whether `newly_roomy` has something to say."""
        return bool(self._roomy)

    def borrow(self, rosters: Mapping[str, Roster]) -> Choice:
        """Lend the figures to one lease unit over these queues; `give_back` must follow."""
        if self._later is not None:
            raise RuntimeError("The seats are already lent to a lease unit")
        self._later = []
        return Choice(self._rosters, rosters, self._next_number)

    def give_back(self, choice: Choice, leased: Iterable[Assignment]) -> None:
        """Keep what was leased, undo what was chosen beyond, and apply what happened meanwhile."""
        for place in choice.settle(leased):
            self._has_room(place)
        later, self._later = self._later or [], None
        for apply in later:
            apply()

    def figures(self) -> SeatFigures:
        """Count what the statistics show; goes through all seats."""
        accepting = active = weighted = 0
        for place in self._rosters.everybody():
            candidate = place.candidate
            accepting += candidate.accepting
            active += candidate.active
            weighted += candidate.weight != 1.0
        return SeatFigures(accepting, active, weighted)

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _apply(self, change: Callable[[], None]) -> None:
        if self._later is None:
            change()
        else:
            self._later.append(change)

    def _update(self, holder: Holder, change: Callable[[Place], None]) -> None:
        def apply() -> None:
            place = self._rosters.get(holder)
            if place is not None:
                was_full = not place.candidate.free
                change(place)
                place.touch()
                if was_full:
                    self._has_room(place)

        self._apply(apply)

    def _has_room(self, place: Place) -> None:
        if place.candidate.free:
            self._roomy[place.candidate.holder] = place
            self._wake()

    def _release(self, holder: Holder, task_id: str, fence: int) -> None:
        place = self._rosters.get(holder)
        if place is None or place.held.get(task_id) != fence:
            return
        del place.held[task_id]
        was_full = not place.candidate.free
        place.candidate.active -= 1
        place.touch()
        if was_full:
            self._has_room(place)

    def _enter(self, seat: Seat, held: dict[str, int]) -> None:
        self._leave(seat.holder)
        candidate = Candidate(seat.holder, max(seat.capacity, 0), self._next_number())
        candidate.accepting = seat.accepting
        candidate.capabilities = seat.attributes.capabilities
        candidate.weight = _weight(seat.weight)
        candidate.succeeded, candidate.failed = seat.succeeded, seat.failed
        candidate.response_ms = seat.response_ms or None
        candidate.active = len(held)
        _take_report(candidate, seat.load)
        place = Place(candidate, seat.attributes)
        place.held = held
        self._rosters.enter(place)
        self._has_room(place)

    def _leave(self, holder: Holder) -> None:
        place = self._rosters.get(holder)
        if place is not None:
            self._rosters.leave(place)
            self._roomy.pop(holder, None)


def _hold(place: Place, task_id: str, fence: int) -> None:
    if task_id not in place.held:
        place.candidate.active += 1
    place.held[task_id] = fence


def _weight(weight: float | None) -> float:
    if weight is None:
        return 1.0
    return weight if math.isfinite(weight) and weight >= _LEAST_WEIGHT else _LEAST_WEIGHT


def _take_report(candidate: Candidate, load: Mapping[str, float]) -> None:
    """Read the figures that strategies use; what is not a sane number counts as not reported."""
    busy = sum(load.get(name, 0.0) for name in ("active_connections", "pending_tasks"))
    candidate.foreign = max(busy - candidate.active, 0.0) if math.isfinite(busy) else 0.0
    candidate.cpu = _share(load, "cpu_usage")
    candidate.memory = _share(load, "memory_usage")


def _share(load: Mapping[str, float], name: str) -> float | None:
    value = load.get(name)
    return None if value is None else load_fraction(name, value)
