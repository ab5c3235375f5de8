"""Take up what a former process had sent when it ended.

What an agent promised to report may still be reported. Of the rest nobody knows whether the agent promised,
answered to nobody, or never got it: the watch gives it `traffic.drain_grace_s`, unless it may be repeated.
"""

from collections.abc import Callable

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.fleet.model import BASE_URL, AgentView
from stellwerk.settings import TrafficSettings
from stellwerk.traffic import store
from stellwerk.traffic.flights import Flight, Flights
from stellwerk.traffic.routing import Choice, Place
from stellwerk.traffic.store import Found

PAGE = 1_000


async def resume(
    database: Database,
    flights: Flights,
    find: Callable[[str], AgentView | None],
    settings: TrafficSettings,
    clock: Clock,
) -> None:
    """Read all executions under way into `flights`. Raises DatabaseUnavailable."""
    orphan_until = clock.now_us() + int(settings.drain_grace_s * MICROSECONDS)
    after = ""
    while page := await database.read(lambda after=after: store.read_under_way(after, PAGE)):  # type: ignore[misc]
        for found in page:
            flight = _flight(found, find(found.parcel.target.group))
            if not found.accepted:
                flight.orphan_until = orphan_until
            flights.add(flight)
        after = page[-1].parcel.id


def _flight(found: Found, view: AgentView | None) -> Flight:
    name = found.instance or ""
    one = None if view is None else view.instance(name)
    address = "" if one is None else one.endpoints.get(BASE_URL, "")
    place = Place(name, address, 0 if one is None else one.registered_at)
    flight = Flight(
        found.parcel,
        Choice(found.version or "", place),
        submitted_at=found.submitted_at,
        repeatable=found.repeatable,
        patient=True,
    )
    flight.fence, flight.attempt = found.fence, found.attempt
    flight.started_at = found.started_at or found.submitted_at
    flight.accepted = found.accepted
    return flight
