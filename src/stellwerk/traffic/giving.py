"""Give waiting executions to instances, as soon as they may have them.

Theory of operation. A group is looked at when an execution of it became ready (the queue tells, also of
other replicas and after a restart), and, if some had to stay, when one of its executions ends or the group
changes. A look reads the first waiting ones in the order of their ranks, chooses an instance for each while
the agent's limit allows, and entrusts them in one unit; whoever was quicker on another replica keeps what it
took. Each is then delivered by itself. An execution that nobody can be given (its pinned version is down)
does not hold up those behind it.
"""

from collections.abc import Callable

import structlog

from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.model import NODES, AgentView
from stellwerk.loop import Loop
from stellwerk.traffic import store
from stellwerk.traffic.flights import Flight, Flights
from stellwerk.traffic.parcel import version_set
from stellwerk.traffic.refusals import TrafficRefused
from stellwerk.traffic.routing import Choice
from stellwerk.traffic.store import Found
from stellwerk.work.entrusting import Gift
from stellwerk.work.service import Work
from stellwerk.work.task import Holder

AT_ONCE = 128
"""Executions read in one look: some milliseconds of everybody's time."""

_log = structlog.get_logger(__name__)


class Giver:
    """See the module. All methods belong to the event loop."""

    def __init__(
        self,
        database: Database,
        work: Work,
        flights: Flights,
        *,
        find: Callable[[str], AgentView | None],
        choose: Callable[[Found], Choice],
        limit_of: Callable[[str], int],
        launch: Callable[[Flight], None],
    ) -> None:
        """`choose` raises a refusal where nobody can be given an execution; `launch` delivers one."""
        self._database = database
        self._work = work
        self._flights = flights
        self._find = find
        self._choose = choose
        self._limit_of = limit_of
        self._launch = launch
        self._due: dict[str, None] = {}
        self._staying: set[str] = set()
        self.loop = Loop("traffic.give", self._run, finishes=True)
        work.on_delivered(self.ready)

    def ready(self, group: str) -> None:
        """Look at a group: something of it waits."""
        self._due[group] = None
        self.loop.wake()

    def changed(self, group: str) -> None:
        """Look at a group again if something of it had to stay: there may be room, or somebody, now."""
        if group in self._staying:
            self.ready(group)

    def has_waiting(self, group: str) -> bool:
        """Tell whether something of a group waits, as far as is known."""
        return group in self._due or group in self._staying

    async def _run(self) -> None:
        while await self.loop.rest():
            while self._due and not self.loop.stopping:
                group = next(iter(self._due))
                try:
                    await self._look(group)
                except DatabaseUnavailable as unavailable:
                    _log.warning("waiting executions wait for the database", detail=unavailable.detail)
                    await self.loop.pause(unavailable.retry_after_s)
                self.loop.advance()

    async def _look(self, group: str) -> None:
        view = self._find(group)
        room = self._limit_of(group) - self._flights.of_group(group)
        if view is None or view.joined_through != NODES or room <= 0:
            # Kept as staying, because nothing was read: a change of the group leads here again.
            self._due.pop(group, None)
            self._staying.add(group)
            return
        found = await self._database.read(lambda: store.read_waiting(group, AT_ONCE))
        self._due.pop(group, None)
        chosen = self._choices(found, room)
        flights = [_flight(one, choice) for one, choice in chosen]
        if len(chosen) < len(found):
            self._staying.add(group)
        else:
            self._staying.discard(group)
        if flights:
            await self._give(flights)
        if len(found) == AT_ONCE and chosen:
            self.ready(group)

    def _choices(self, found: list[Found], room: int) -> list[tuple[Found, Choice]]:
        chosen: list[tuple[Found, Choice]] = []
        for one in found:
            if len(chosen) == room:
                break
            try:
                chosen.append((one, self._choose(one)))
            except TrafficRefused:
                continue
        return chosen

    async def _give(self, flights: list[Flight]) -> None:
        gifts = [
            Gift(one.id, Holder(one.group, one.instance), version_set(one.id, one.version)) for one in flights
        ]
        # Before the commit: what ends right after it is found here.
        for flight in flights:
            self._flights.add(flight)
        given = []
        try:
            given = await self._work.entrusting.give(gifts)
        finally:
            for number, flight in enumerate(flights):
                live = given[number] if given else None
                if live is None:
                    self._flights.remove(flight.id)
                    continue
                flight.fence, flight.attempt = live.fence, live.attempt
                flight.started_at = live.started_at or flight.started_at
                self._launch(flight)


def _flight(found: Found, choice: Choice) -> Flight:
    return Flight(
        found.parcel,
        choice,
        submitted_at=found.submitted_at,
        repeatable=found.repeatable,
        patient=True,
    )
