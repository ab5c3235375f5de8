"""Bring one execution to an agent and see how it ends.

Theory of operation. The execution is durable and runs, as far as the database knows, before anything is
sent. Three things may happen to a dial:

- nothing was sent: the instance is suspended, and the execution goes to another instance or version, which
  grows its fence. Agents register before they listen, so where there is nobody else a young instance is
  dialled again for a while. In the end a patient execution waits in the queue, another fails as unreachable.
- there is no usable answer: it may have run. It is repeated elsewhere if the function may be, and else ends
  as lost; a report that still comes corrects that.
- there is an answer: the end, or the promise to report it. The report may be there before the promise.

Whoever ended it meanwhile (a report, a cancellation, the clock) is found out by the fence; then there is
nothing left to do. While the database is away an end is tried again, because the agent says it only once.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.settings import TrafficSettings
from stellwerk.traffic.answers import Done, Failure, Promised, read_answer, write_failure
from stellwerk.traffic.dialling import AnswerLost, DialForbidden, Dialler, NotDialled
from stellwerk.traffic.flights import Flight, Flights, Key
from stellwerk.traffic.parcel import version_set
from stellwerk.traffic.refusals import TrafficRefused
from stellwerk.traffic.router import Router
from stellwerk.traffic.routing import Choice, Route
from stellwerk.work.entrusting import Reassignment
from stellwerk.work.refusals import TooLarge, WorkRefused
from stellwerk.work.service import Work
from stellwerk.work.task import Holder

MOST_ATTEMPTS = 3
"""How often one execution may begin."""
AGAIN_S = 0.25
"""Between two dials of an instance that has only just registered."""
BACK_S = 0.5
"""How long an execution waits at least that nobody could be given."""
KEEP_TRYING_S = 30.0
"""How long an end is tried to be written while the database is away."""
UNREACHABLE = "no instance of the agent could be dialled"
FORBIDDEN = "the outbound policy does not allow the agent's address"

_log = structlog.get_logger(__name__)


class Delivery:
    """See the module. All methods belong to the event loop."""

    def __init__(
        self,
        work: Work,
        router: Router,
        flights: Flights,
        dialler: Dialler,
        *,
        settings: TrafficSettings,
        clock: Clock,
        gone: Callable[[Key], None],
        promised: Callable[[Flight], None],
        session_of: Callable[[Flight], str | None],
    ) -> None:
        """`gone` is told of instances at whose address nobody listens any more, `promised` of promises."""
        self._work = work
        self._router = router
        self._flights = flights
        self._dialler = dialler
        self._settings = settings
        self._clock = clock
        self._gone = gone
        self._promised = promised
        self._session_of = session_of

    async def deliver(self, flight: Flight) -> None:
        """Send it until somebody has it, or it has ended."""
        flight.dialling = True
        try:
            while await self._attempt(flight):
                pass
        except WorkRefused as refused:
            # Somebody ended it, or it was given to another: theirs is the last word.
            _log.debug("an execution went its own way", execution=flight.id, why=str(refused))
        except DatabaseUnavailable as unavailable:
            _log.warning("an execution is left to the sweep", execution=flight.id, why=unavailable.detail)
        finally:
            flight.dialling = False

    async def _attempt(self, flight: Flight) -> bool:
        """Dial once; tell whether to dial again."""
        parcel = flight.parcel
        try:
            answer = await self._dialler.post(
                parcel.url(flight.address),
                parcel.input.encode(),
                parcel.head(flight.version),
                self._settings.answer_s,
            )
        except NotDialled as fault:
            self._router.suspend(flight.group, flight.instance)
            if fault.refused and not self._may_be_starting(flight):
                self._gone(flight.key)
            _log.debug("an agent could not be dialled", execution=flight.id, why=str(fault))
            return await self._elsewhere(flight)
        except DialForbidden as fault:
            _log.warning("an agent may not be dialled", agent=flight.group, why=str(fault))
            self._router.suspend(flight.group, flight.instance)
            return await self._to_another(flight) or await self._give_up(flight, FORBIDDEN)
        except AnswerLost as fault:
            self._router.dialled(*flight.key)
            _log.debug("an answer was lost", execution=flight.id, why=str(fault))
            return await self._lost(flight, fault)
        self._router.dialled(*flight.key)
        if flight.ended is not None:
            return False
        said = read_answer(answer)
        match said:
            case Done():
                await self._complete(flight, said.result)
            case Promised():
                flight.accepted = True
                self._promised(flight)
            case Failure():
                await self._fail(flight, said)
        return False

    def _may_be_starting(self, flight: Flight) -> bool:
        young_until = flight.registered_at + int(self._settings.listen_grace_s * MICROSECONDS)
        return self._clock.now_us() < young_until and not self._router.was_dialled(*flight.key)

    async def _elsewhere(self, flight: Flight) -> bool:
        """Go on after a dial that sent nothing."""
        if await self._to_another(flight):
            return True
        if self._may_be_starting(flight) and flight.ended is None:
            await asyncio.sleep(AGAIN_S)
            return flight.ended is None
        if flight.patient:
            await self._work.hand_back(flight.holder, flight.id, flight.fence, BACK_S, unsent=True)
            return False
        return await self._give_up(flight, UNREACHABLE)

    async def _to_another(self, flight: Flight) -> bool:
        """Hand it on, unsent, if there is anybody else."""
        flight.tried.add(flight.instance)
        choice = self._choose(flight)
        if choice is None:
            return False
        await self._reassign(flight, choice, repeats=False)
        return True

    async def _give_up(self, flight: Flight, why: str) -> bool:
        flight.unreachable = True
        await self._fail(flight, Failure(error=why, unreachable=True))
        return False

    async def _lost(self, flight: Flight, fault: AnswerLost) -> bool:
        """Go on after a dial that may have begun the function."""
        if flight.ended is not None:
            return False
        if fault.late:
            error = write_failure(
                Failure(error=f"the agent did not answer within {self._settings.answer_s:g} s")
            )
            await self._keep_trying(
                lambda: self._work.fail(
                    flight.holder, flight.id, flight.fence, error, retryable=False, timed_out=True
                )
            )
            return False
        if flight.repeatable and flight.attempt < MOST_ATTEMPTS:
            flight.tried.add(flight.instance)
            choice = self._choose(flight)
            if choice is not None:
                await self._reassign(flight, choice, repeats=True)
                return True
        await self._keep_trying(lambda: self._work.forget(flight.holder, flight.id, flight.fence))
        return False

    def _choose(self, flight: Flight) -> Choice | None:
        function = self._router.functions(flight.group).get(flight.parcel.target.function)
        if function is None:
            return None
        route = Route(
            versions=function.versions,
            pin=flight.parcel.pin,
            session=self._session_of(flight),
            excluded=frozenset(flight.tried),
        )
        try:
            return self._router.choose(flight.group, route)
        except TrafficRefused:
            return None

    async def _reassign(self, flight: Flight, choice: Choice, *, repeats: bool) -> None:
        to = Holder(flight.group, choice.place.instance)
        after = await self._work.entrusting.reassign(
            Reassignment(
                flight.holder, flight.id, flight.fence, to, version_set(flight.id, choice.version), repeats
            )
        )
        self._flights.move(flight, choice)
        flight.fence, flight.attempt = after.fence, after.attempt
        flight.started_at = after.started_at or flight.started_at

    async def _complete(self, flight: Flight, result: str) -> None:
        limit = self._settings.answer_bytes
        try:
            await self._keep_trying(
                lambda: self._work.complete(flight.holder, flight.id, flight.fence, result, limit_bytes=limit)
            )
        except TooLarge as fault:
            await self._fail(flight, Failure(error=str(fault)))

    async def _fail(self, flight: Flight, failure: Failure) -> None:
        if flight.ended is not None:
            return
        error = write_failure(failure)
        await self._keep_trying(
            lambda: self._work.fail(flight.holder, flight.id, flight.fence, error, retryable=False)
        )

    async def _keep_trying(self, write: Callable[[], Awaitable[object]]) -> None:
        ends_at = asyncio.get_running_loop().time() + KEEP_TRYING_S
        while True:
            try:
                await write()
                return
            except DatabaseUnavailable as unavailable:
                if asyncio.get_running_loop().time() > ends_at:
                    raise
                await asyncio.sleep(min(unavailable.retry_after_s, 1.0))
