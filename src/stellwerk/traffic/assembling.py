"""The parts of traffic, put together.

They refer to one another: whoever takes a call on looks whether others wait, whoever hands out what waits
chooses as for a call, whoever delivers tells the watch. Here each is given what it needs of the others.
"""

from dataclasses import dataclass

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.fleet.service import Fleet
from stellwerk.journal.service import Journal
from stellwerk.settings import TrafficSettings
from stellwerk.traffic.calling import Calling
from stellwerk.traffic.delivering import Delivery
from stellwerk.traffic.departing import Departures
from stellwerk.traffic.dialling import Dialler
from stellwerk.traffic.figures import Figures
from stellwerk.traffic.flights import Flights
from stellwerk.traffic.forgetting import Forgetting
from stellwerk.traffic.giving import Giver
from stellwerk.traffic.launching import Launching
from stellwerk.traffic.options import AgentOptions
from stellwerk.traffic.reporting import Reporting
from stellwerk.traffic.router import Router
from stellwerk.traffic.watching import Watch
from stellwerk.work.service import Work


@dataclass(frozen=True, slots=True)
class Ground:
    """What traffic stands on."""

    database: Database
    journal: Journal
    fleet: Fleet
    work: Work
    dialler: Dialler
    settings: TrafficSettings
    clock: Clock


@dataclass(frozen=True, slots=True)
class Parts:
    """What does the work."""

    flights: Flights
    figures: Figures
    options: AgentOptions
    router: Router
    watch: Watch
    calling: Calling
    giver: Giver
    launching: Launching
    departures: Departures
    reporting: Reporting
    forgetting: Forgetting


def assemble(on: Ground) -> Parts:
    """Make the parts; nothing runs yet."""
    flights = Flights()
    options = AgentOptions(on.database, on.journal, on.fleet, on.clock)
    router = Router(on.fleet.get, flights.load, on.settings.functions)
    watch = Watch(on.database, on.fleet, on.work, flights, on.dialler, settings=on.settings, clock=on.clock)
    launching = Launching(on.database, on.clock)
    calling = Calling(
        on.database,
        on.work,
        router,
        flights,
        settings=on.settings,
        clock=on.clock,
        options=options.of,
        launch=launching.launch,
        has_waiting=lambda group: giver.has_waiting(group),  # noqa: PLW0108 - it is made below
    )
    giver = Giver(
        on.database,
        on.work,
        flights,
        find=on.fleet.get,
        choose=calling.choose,
        limit_of=calling.limit_of,
        launch=launching.launch,
    )
    launching.deliver = _delivery(on, router, flights, watch, calling, launching).deliver
    forgetting = Forgetting(on.fleet, on.clock, on.settings.forget_after_s, flights.load)
    watch.also(forgetting.turn)
    return Parts(
        flights=flights,
        figures=Figures(on.settings.figures_s),
        options=options,
        router=router,
        watch=watch,
        calling=calling,
        giver=giver,
        launching=launching,
        departures=Departures(on.dialler, on.fleet.get),
        reporting=Reporting(on.database, on.fleet, on.work, flights, limit_bytes=on.settings.answer_bytes),
        forgetting=forgetting,
    )


def _delivery(  # noqa: PLR0917 - each part once
    on: Ground, router: Router, flights: Flights, watch: Watch, calling: Calling, launching: Launching
) -> Delivery:
    return Delivery(
        on.work,
        router,
        flights,
        on.dialler,
        settings=on.settings,
        clock=on.clock,
        gone=watch.gone,
        promised=launching.promised,
        session_of=lambda flight: calling.session_of(flight.parcel),
    )
