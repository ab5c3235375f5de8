"""What agents report of executions, and what callers take back.

Whoever may report is the agent's owner; on an open listener the random id is the secret. A report is taken
whatever became of the agent meanwhile, and under the execution's present fence: if a function was repeated,
whichever process is first has the last word.
"""

import msgspec

from stellwerk.database.database import Database
from stellwerk.fleet.service import Fleet
from stellwerk.traffic import store
from stellwerk.traffic.answers import NO_DETAILS, Failure, write_failure
from stellwerk.traffic.execution import Execution, Report, Reported, Status
from stellwerk.traffic.flights import Flights
from stellwerk.traffic.refusals import (
    AlreadyEnded,
    NotYourExecution,
    ResultTooLarge,
    UnknownExecution,
)
from stellwerk.traffic.store import Shown
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work import refusals as work_refusals
from stellwerk.work.service import Work
from stellwerk.work.task import Holder, Settled


class Reporting:
    """See the module. All methods may raise DatabaseUnavailable."""

    def __init__(
        self, database: Database, fleet: Fleet, work: Work, flights: Flights, *, limit_bytes: int
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._work = work
        self._flights = flights
        self._limit_bytes = limit_bytes

    async def report(self, principal: Principal, execution_id: str, report: Report) -> Reported:
        """Take a report; refusals as `Traffic.report` names them."""
        flight = self._flights.get(execution_id)
        if flight is None:
            shown = await self._shown(execution_id)
            holder, fence, group = shown.holder, shown.fence, shown.execution.target.group
        else:
            holder, fence, group = flight.holder, flight.fence, flight.group
        view = self._fleet.get(group)
        if view is not None and principal.id != view.owner and not principal.may(Scope.FLEET_ADMIN):
            raise NotYourExecution(execution_id)
        if report.status in (Status.RUNNING, Status.QUEUED):
            now = (await self._shown(execution_id)).execution
            if now.finished:
                raise AlreadyEnded(execution_id, now.status)
            self._work.renew(holder, execution_id, fence)
            return Reported(now, False)
        duplicate = await self._settle(execution_id, holder, fence, report)
        return Reported((await self._shown(execution_id)).execution, duplicate)

    async def cancel(self, principal: Principal, execution_id: str) -> Execution:
        """Cancel what waits, ask for the end of the rest; refusals as `Traffic.cancel` names them."""
        await self._shown(execution_id)
        try:
            await self._work.cancel(principal, execution_id)
        except work_refusals.UnknownTask as unknown:
            raise UnknownExecution(execution_id) from unknown
        except work_refusals.NotYours as refused:
            raise NotYourExecution(execution_id) from refused
        except work_refusals.NotPossible as refused:
            raise AlreadyEnded(execution_id, refused.state) from refused
        return (await self._shown(execution_id)).execution

    async def _settle(self, execution_id: str, holder: Holder, fence: int, report: Report) -> bool:
        """End the execution as reported; tell whether the same had been said before."""
        try:
            return (await self._end(execution_id, holder, fence, report)).duplicate
        except work_refusals.TooLarge as refused:
            raise ResultTooLarge(str(refused)) from refused
        except work_refusals.UnknownTask as unknown:
            raise UnknownExecution(execution_id) from unknown
        except (work_refusals.ConflictingResult, work_refusals.NotPossible) as refused:
            raise AlreadyEnded(execution_id, refused.state) from refused
        except work_refusals.LeaseLost as refused:
            # It waits to be given to another, or was just given: this word came too late to count.
            raise AlreadyEnded(execution_id, refused.state) from refused

    async def _end(self, execution_id: str, holder: Holder, fence: int, report: Report) -> Settled:
        match report.status:
            case Status.SUCCEEDED:
                result = "null" if report.result is None else report.result
                return await self._work.complete(
                    holder, execution_id, fence, result, limit_bytes=self._limit_bytes
                )
            case Status.CANCELLED:
                return await self._cancelled(execution_id, holder, fence, report)
            case Status.FAILED | Status.TIMEOUT | Status.RUNNING | Status.QUEUED:
                return await self._failed(execution_id, holder, fence, report)

    async def _cancelled(self, execution_id: str, holder: Holder, fence: int, report: Report) -> Settled:
        try:
            return await self._work.confirm_cancelled(holder, execution_id, fence)
        except work_refusals.NotPossible:
            # Nobody asked for it: the agent gave up by itself, as one does that shuts down.
            return await self._failed(execution_id, holder, fence, report)

    async def _failed(self, execution_id: str, holder: Holder, fence: int, report: Report) -> Settled:
        given = report.error_details
        details = NO_DETAILS if given is None else msgspec.Raw(given.encode())
        error = report.error or f"the agent reported the execution as {report.status}"
        failure = Failure(error=error, details=details, status=report.error_status)
        return await self._work.fail(
            holder,
            execution_id,
            fence,
            write_failure(failure),
            retryable=False,
            timed_out=report.status is Status.TIMEOUT,
            limit_bytes=self._limit_bytes,
        )

    async def _shown(self, execution_id: str) -> Shown:
        shown = None
        if execution_id.isprintable():
            shown = await self._database.read(lambda: store.read_shown(execution_id))
        if shown is None:
            raise UnknownExecution(execution_id)
        return shown
