"""Calls: take one on, send it, wait for its end.

Theory of operation. A call that may begin now is written as running with its instance, in one unit, and sent
after the commit; its end is the second unit. Whoever waits holds a future that was left before the sending,
so no end slips by, whichever replica it is reported to. The sending is a task of its own: it goes on when the
caller hangs up. What may not begin now is refused, if its caller waits, and queued otherwise.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import msgspec

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.settings import TrafficSettings
from stellwerk.traffic import refusals, store
from stellwerk.traffic.answers import read_failure
from stellwerk.traffic.execution import Call, Execution, Options, Status, Told, WebhookState
from stellwerk.traffic.flights import Flight, Flights
from stellwerk.traffic.functions import Function
from stellwerk.traffic.parcel import Ids, Parcel, pack
from stellwerk.traffic.router import Router
from stellwerk.traffic.routing import Choice, Route
from stellwerk.traffic.store import Found, error_said, status_of
from stellwerk.trust.principal import Principal
from stellwerk.work import refusals as work_refusals
from stellwerk.work.requirements import Requirements
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Holder, Outcome, Submission, Submitted

LONGEST_TEXT = 253
MOST_HEADERS = 16_384
"""Bytes of headers that are handed on and kept."""

Launch = Callable[[Flight], None]


class Calling:
    """See the module. All methods belong to the event loop and may raise DatabaseUnavailable."""

    def __init__(
        self,
        database: Database,
        work: Work,
        router: Router,
        flights: Flights,
        *,
        settings: TrafficSettings,
        clock: Clock,
        options: Callable[[str], Options],
        launch: Launch,
        has_waiting: Callable[[str], bool],
    ) -> None:
        self._database = database
        self._work = work
        self._router = router
        self._flights = flights
        self._settings = settings
        self._clock = clock
        self._options = options
        self._launch = launch
        self._has_waiting = has_waiting
        self._ids = Ids()

    async def execute(self, principal: Principal, call: Call) -> Execution:
        """Call a function and wait for its end; refusals as `Traffic.execute` names them."""
        function = self._function(call)
        self._check(call)
        limit = self.limit_of(call.target.group)
        if self._flights.of_group(call.target.group) >= limit:
            raise refusals.Overloaded(call.target.group, limit)
        choice = self._router.choose(call.target.group, self.route_of(call, function))
        parcel = pack(call, self._ids, self._clock.now_us())
        ended = self._work.entrusting.expect(parcel.id)
        try:
            flight, submitted = await self._begin(principal, call, parcel, choice, patient=False)
            if flight is None:
                return await self._wait_for_first(submitted.task_id)
            await asyncio.wait((ended,), timeout=self._settings.wait_s)
            return await self._ended(flight, ended)
        finally:
            self._work.entrusting.forget(parcel.id, ended)

    async def begin(self, principal: Principal, call: Call) -> Execution:
        """Take a call on; refusals as `Traffic.begin` names them."""
        function = self._function(call)
        self._check(call)
        parcel = pack(call, self._ids, self._clock.now_us())
        choice = self._choice_now(call, function)
        flight, submitted = await self._begin(principal, call, parcel, choice, patient=True)
        if submitted.duplicate or (flight is not None and flight.ended is not None):
            shown = await self._database.read(lambda: store.read_shown(submitted.task_id))
            if shown is not None:
                return shown.execution
        return _begun(parcel, submitted, flight, principal)

    def choose(self, found: Found) -> Choice:
        """Choose for an execution that waits. Raises a refusal where nobody can be given it."""
        parcel = found.parcel
        function = self._router.functions(parcel.target.group).get(parcel.target.function)
        if function is None:
            raise refusals.unknown_agent(parcel.target)
        session = self.session_of(parcel)
        return self._router.choose(
            parcel.target.group, Route(versions=function.versions, pin=parcel.pin, session=session)
        )

    def limit_of(self, group: str) -> int:
        """Return how many executions of an agent may be under way here."""
        return self._options(group).concurrency or self._settings.concurrency

    def session_of(self, parcel: Parcel) -> str | None:
        """Return the session that decides about the way, None where sessions do not stick."""
        return parcel.session_id if self._options(parcel.target.group).sticky else None

    def route_of(self, call: Call, function: Function) -> Route:
        """Return what decides about the way of a call."""
        session = call.session_id if self._options(call.target.group).sticky else None
        return Route(versions=function.versions, pin=call.pin, session=session)

    def _function(self, call: Call) -> Function:
        function = self._router.functions(call.target.group).get(call.target.function)
        if function is None:
            raise refusals.unknown_agent(call.target)
        return function

    def _check(self, call: Call) -> None:
        if call.timeout_s is not None and not 0 < call.timeout_s <= self._settings.execution_timeout_s:
            longest = f"{self._settings.execution_timeout_s:g}"
            raise refusals.InvalidCall(f"the timeout must be above 0 and at most {longest} seconds")
        if call.headers and sum(len(name) + len(text) for name, text in call.headers.items()) > MOST_HEADERS:
            raise refusals.InvalidCall(f"headers to hand on have at most {MOST_HEADERS} bytes")
        said = (call.run_id, call.parent_id, call.session_id, call.actor_id, call.caller, call.pin)
        if any(text is not None and not 1 <= len(text) <= LONGEST_TEXT for text in said):
            raise refusals.InvalidCall(f"ids and versions have 1 to {LONGEST_TEXT} characters")

    def _choice_now(self, call: Call, function: Function) -> Choice | None:
        """Choose for a call that may wait; None if it has to."""
        group = call.target.group
        if self._has_waiting(group) or self._flights.of_group(group) >= self.limit_of(group):
            return None
        try:
            return self._router.choose(group, self.route_of(call, function))
        except refusals.NoVersion:
            return None

    async def _begin(
        self, principal: Principal, call: Call, parcel: Parcel, choice: Choice | None, *, patient: bool
    ) -> tuple[Flight | None, Submitted]:
        """Write it, and send it off if it may begin; no flight for one that waits or was sent before."""
        group = parcel.target.group
        function = self._function(call)
        flight = None
        if choice is not None:
            flight = Flight(
                parcel,
                choice,
                submitted_at=self._clock.now_us(),
                repeatable=function.idempotent,
                patient=patient,
            )
            # Before the commit, so that limits hold for calls of the same moment.
            self._flights.add(flight)
        writing = asyncio.ensure_future(
            self._work.entrusting.begin(
                principal,
                self._submission(call, parcel, function),
                None if flight is None else Holder(group, flight.instance),
                parcel.beside(None if choice is None else choice.version, self._clock.now_us()),
                task_id=parcel.id,
            )
        )
        if flight is not None:
            writing.add_done_callback(lambda done, flight=flight: self._written(done, flight))  # type: ignore[misc]
        with _translated():
            # A caller that hangs up does not undo what may be committed.
            submitted = await asyncio.shield(writing)
        if flight is not None and not submitted.duplicate:
            return flight, submitted
        return None, submitted

    def _written(self, writing: "asyncio.Future[Submitted]", flight: Flight) -> None:
        if writing.cancelled() or writing.exception() is not None or writing.result().duplicate:
            self._flights.remove(flight.id)
        else:
            self._launch(flight)

    def _submission(self, call: Call, parcel: Parcel, function: Function) -> Submission:
        timeout_us = int((call.timeout_s or self._settings.execution_timeout_s) * MICROSECONDS)
        return Submission(
            task_data=parcel.input,
            task_type=parcel.target.text,
            priority=call.priority,
            requirements=Requirements(agent=parcel.target.group),
            requirements_text="{}" if call.pin is None else _pinned(call.pin),
            idempotency_key=call.idempotency_key,
            repeatable=function.idempotent,
            timeout_us=timeout_us,
            delivered=True,
        )

    async def _ended(self, flight: Flight, ended: "asyncio.Future[Outcome]") -> Execution:
        if not ended.done():
            raise refusals.TimedOut(await self._shown(flight.id))
        outcome, live = ended.result(), flight.ended
        if live is None or live.finished_at is None or outcome.state is not live.state:
            # It ended with somebody else, or on another replica.
            execution = await self._shown(flight.id)
        else:
            execution = _execution(flight, outcome, live.finished_at)
        if flight.unreachable:
            raise refusals.Unreachable(execution)
        return execution

    async def _wait_for_first(self, execution_id: str) -> Execution:
        """Wait for the execution that the same key began before."""
        outcome = await self._work.result(execution_id, self._settings.wait_s)
        execution = await self._shown(execution_id)
        if not outcome.finished:
            raise refusals.TimedOut(execution)
        return execution

    async def _shown(self, execution_id: str) -> Execution:
        shown = await self._database.read(lambda: store.read_shown(execution_id))
        if shown is None:
            raise refusals.UnknownExecution(execution_id)
        return shown.execution


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Say what the queue refuses in the words of traffic."""
    try:
        yield
    except work_refusals.QueueFull as full:
        raise refusals.QueueFull(str(full), full.retry_after_s) from full
    except work_refusals.IdempotencyConflict as conflict:
        raise refusals.KeyConflict(str(conflict)) from conflict
    except (work_refusals.InvalidTask, work_refusals.InvalidPriority) as invalid:
        raise refusals.InvalidCall(str(invalid)) from invalid


def _pinned(version: str) -> str:
    return msgspec.json.encode({"version": version}).decode()


def _begun(parcel: Parcel, submitted: Submitted, flight: Flight | None, principal: Principal) -> Execution:
    running = submitted.state is State.RUNNING
    return Execution(
        id=parcel.id,
        run_id=parcel.run_id,
        target=parcel.target,
        status=Status.RUNNING if running else Status.QUEUED,
        reason=None,
        version=None if flight is None else flight.version,
        instance=None if flight is None else flight.instance,
        created_at=submitted.submitted_at,
        started_at=submitted.submitted_at if running else None,
        finished_at=None,
        result=None,
        error=None,
        error_details=None,
        error_status=None,
        parent_id=parcel.parent_id,
        session_id=parcel.session_id,
        actor_id=parcel.actor_id,
        caller=parcel.caller,
        principal=principal.id,
        webhook=_told(parcel),
    )


def _execution(flight: Flight, outcome: Outcome, finished_at: int) -> Execution:
    status = status_of(outcome.state, outcome.reason)
    failure = read_failure(outcome.error)
    parcel = flight.parcel
    details = None if failure is None else failure.details_text
    return Execution(
        id=flight.id,
        run_id=parcel.run_id,
        target=parcel.target,
        status=status,
        reason="unreachable" if failure is not None and failure.unreachable else outcome.reason,
        version=flight.version,
        instance=flight.instance,
        created_at=flight.submitted_at,
        started_at=flight.started_at,
        finished_at=finished_at,
        result=outcome.result if status is Status.SUCCEEDED else None,
        error=failure.error if failure is not None else error_said(status, outcome.reason),
        error_details=details,
        error_status=None if failure is None else failure.status,
        parent_id=parcel.parent_id,
        session_id=parcel.session_id,
        actor_id=parcel.actor_id,
        caller=parcel.caller,
        principal=flight.ended.principal if flight.ended is not None else "",
        webhook=_told(parcel),
    )


def _told(parcel: Parcel) -> Told | None:
    """Tell how the webhook of a call stands that nobody can have looked for yet."""
    return None if parcel.webhook is None else Told(state=WebhookState.WAITING, attempts=0, error=None)
