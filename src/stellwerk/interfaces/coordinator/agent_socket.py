"""The agent's WebSocket: tasks go out as they are leased, reports come back on the same connection.

Theory of operation. The connection is a `Duplex`: reports are steps of it, in order for each task, so that
the many steps of a busy agent share the database's groups.

Reconciliation. With the seat come the leases that the holder has; from then on the dispatcher delivers. If
the first frame is `hello`, those leases are compared with it: what the agent no longer has, it is given
again (not begun) or has lost (begun), and what it wrongly holds is reported lost. Without `hello`
the deadlines decide.

An ended connection gives up its seat; `Work.disconnect` sees to its leases. Close codes: 4403 not (any
more) the caller's agent, 4404 the agent was removed, 4408 the peer does not read, 4409 another connection
took over, 1008 too many faulty messages, 1012 the server stops.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from stellwerk.clock import Clock
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.service import Fleet
from stellwerk.http.duplex import Duplex, Receive, Send, Steps
from stellwerk.http.instants import iso
from stellwerk.http.json_check import InvalidJson, check_json
from stellwerk.http.problem import Problem
from stellwerk.interfaces.coordinator import rendering
from stellwerk.interfaces.coordinator.errors import refuse
from stellwerk.interfaces.coordinator.wire import frames
from stellwerk.interfaces.coordinator.words import condition, stop_reason
from stellwerk.interfaces.coordinator.working import log_line
from stellwerk.settings import LimitSettings
from stellwerk.trust.principal import Principal
from stellwerk.work.refusals import LeaseLost, UnknownTask
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Assignment, Holder, Standing

NOT_YOURS, REMOVED, REPLACED, FAULTY = 4403, 4404, 4409, 1008
DEPTH = LimitSettings().depth
FAULTS = 20
"""Messages that are no frames before the connection is closed: enough to debug with, too few to flood."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ends:
    """What the connections join."""

    fleet: Fleet
    work: Work
    clock: Clock
    steps: Steps = field(default_factory=set)
    """Steps under way, which outlive their connections."""


class AgentSocket:
    """One connection of one holder; also the channel of its seat."""

    __slots__ = (
        "_before",
        "_clock",
        "_duplex",
        "_early",
        "_faults",
        "_fleet",
        "_principal",
        "_work",
        "holder",
    )

    def __init__(self, ends: "Ends", principal: Principal, holder: Holder, send: Send) -> None:
        self._fleet = ends.fleet
        self._work = ends.work
        self._clock = ends.clock
        self._principal = principal
        self.holder = holder
        self._duplex = Duplex(send, ends.steps)
        self._faults = 0
        self._before: dict[str, Assignment] = {}
        """Leases of before the connection, until the first frame was read."""
        self._early: set[str] | None = set()
        """Tasks delivered before the first frame was read; None from then on."""

    # The channel of the seat

    @property
    def alive(self) -> bool:
        """Whether what is delivered now has a chance to arrive."""
        return self._duplex.alive

    def deliver(self, assignments: Sequence[Assignment]) -> None:
        """Send tasks whose leases are durable."""
        for assignment in assignments:
            self._duplex.put(frames.encode_assignment(rendering.assignment(assignment)))
        if self._early is not None:
            self._early |= {assignment.task_id for assignment in assignments}

    def cancel(self, task_id: str, fence: int, reason: str | None) -> None:
        """Ask the agent to stop one attempt."""
        self._put(frames.TaskCancel(task_id, fence, stop_reason(reason)))

    # The connection

    async def serve(
        self, receive: Receive, before: Sequence[Assignment], heartbeat_interval_s: float
    ) -> None:
        """Serve until the connection ends; `before` are the leases of before it."""
        self._before = {one.task_id: one for one in before}
        self._put(frames.Welcome(*self.holder, heartbeat_interval_s, iso(self._clock.now_us())))
        await self._duplex.serve(receive, self._take)

    def end(self, code: int, reason: str) -> None:
        """Close the connection soon, whether or not the peer reads; the first reason stands."""
        self._duplex.end(code, reason)

    async def drain(self, limit_s: float) -> None:
        """Say that the server stops, let steps under way end, and close with 1012."""
        self._put(frames.Draining())
        await self._duplex.drain(limit_s)

    def check(self) -> None:
        """End the connection of a peer that does not read."""
        self._duplex.check()

    async def _take(self, message: Mapping[str, Any]) -> None:
        for frame in self._decode(message):
            if isinstance(frame, frames.Goodbye):
                self.end(1000, "Goodbye")
                return
            if isinstance(frame, frames.Hello):
                self._reconcile(frame, self._before)
            elif isinstance(frame, frames.Heartbeat):
                await self._heartbeat(frame)
            else:
                self._begin(frame)
            self._before, self._early = {}, None

    def _decode(self, message: Mapping[str, Any]) -> list[frames.Incoming]:
        try:
            return frames.decode(message.get("text") or message.get("bytes") or b"")
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
            self._faults += 1
            self._put(frames.Error(f"This is no frame: {fault}", "invalid"))
            if self._faults > FAULTS:
                self.end(FAULTY, "Too many faulty messages")
            return []

    async def _heartbeat(self, frame: frames.Heartbeat) -> None:
        try:
            declared = None if frame.status is None else condition(frame.status)
            await self._fleet.heartbeat(self._principal, *self.holder, frame.load_metrics, declared)
            await self._work.heartbeat(self.holder)
        except UnknownAgent:
            self.end(REMOVED, "The agent was removed")
        except OwnedByAnother:
            self.end(NOT_YOURS, "The agent belongs to another principal")
        except Exception as error:
            self._put(self._refusal(error))
        else:
            self._put(frames.HeartbeatAck())

    def _reconcile(self, hello: frames.Hello, before: dict[str, Assignment]) -> None:
        held = {one.task_id: one.lease for one in hello.held}
        for task_id, lease in held.items():
            known = before.get(task_id)
            if known is None or known.fence != lease:
                self._put(frames.LeaseLost(task_id, lease, "The lease ended while there was no connection"))
            elif known.state is State.CANCELLING:
                self.cancel(task_id, lease, known.reason)
        for task_id, known in before.items():
            if held.get(task_id) != known.fence and task_id not in (self._early or ()):
                self._missed(known)

    def _missed(self, lease: Assignment) -> None:
        """See to a lease of before that the agent does not know (any more)."""
        if lease.state is State.LEASED:
            self.deliver([lease])
        else:
            # Heartbeats renew whatever a holder has, so nobody else would ever end it.
            self._duplex.begin(lease.task_id, lambda: self._forget(lease))

    async def _forget(self, lease: Assignment) -> None:
        try:
            await self._work.forget(self.holder, lease.task_id, lease.fence)
        except (LeaseLost, UnknownTask):
            return  # Somebody else ended it first.
        except Exception as error:
            self._put(self._refusal(error))

    def _begin(self, frame: frames.Notes | frames.Steps) -> None:
        self._duplex.begin(frame.task_id, lambda: self._step(frame))

    async def _step(self, frame: frames.Notes | frames.Steps) -> None:
        try:
            answer = await self._report(frame)
        except (LeaseLost, UnknownTask) as error:
            answer = frames.LeaseLost(frame.task_id, frame.lease, str(error))
        except Exception as error:
            answer = self._refusal(error, frame)
        if answer is not None:
            self._put(answer)

    async def _report(self, frame: frames.Notes | frames.Steps) -> frames.ToAgent | None:
        work, holder, mark = self._work, self.holder, (frame.task_id, frame.lease)
        match frame:
            case frames.Accept():
                standing = await work.acknowledge(holder, *mark)
                return frames.TaskStarted(*mark, standing.state.value)
            case frames.Progress():
                standing = await work.progress(holder, *mark, frame.progress, frame.note)
                return self._stop(standing, frame.lease)
            case frames.Log():
                standing = await work.log(holder, *mark, [log_line(line) for line in frame.lines])
                return self._stop(standing, frame.lease)
            case frames.Complete():
                settled = await work.complete(holder, *mark, checked(frame.result))
            case frames.Fail():
                settled = await work.fail(holder, *mark, checked(frame.error), retryable=frame.retryable)
            case frames.Release():
                settled = await work.hand_back(holder, *mark)
            case _:
                settled = await work.confirm_cancelled(holder, *mark)
        return frames.TaskSettled(*mark, settled.state.value, settled.duplicate)

    @staticmethod
    def _stop(standing: Standing, lease: int) -> frames.TaskCancel | None:
        if not standing.stop_asked:
            return None
        return frames.TaskCancel(standing.task_id, lease, stop_reason(standing.reason))

    def _refusal(self, error: Exception, frame: frames.Notes | frames.Steps | None = None) -> frames.Error:
        task_id, lease = (None, None) if frame is None else (frame.task_id, frame.lease)
        if isinstance(error, DatabaseUnavailable):
            return frames.Error(error.detail, "unavailable", task_id, lease, error.retry_after_s)
        problem = refuse(error)
        if problem is None:
            log.error("frame_failed", agent=self.holder.group, exc_info=error)
            return frames.Error("Internal server error", None, task_id, lease)
        return frames.Error(problem.detail, problem.code, task_id, lease)

    def _put(self, frame: frames.ToAgent) -> None:
        self._duplex.put(frames.encode(frame))


def checked(raw: msgspec.Raw) -> str:
    """Return JSON text that is as strict as a body over HTTP has to be. Raises Problem."""
    text = bytes(raw)
    try:
        check_json(text, DEPTH)
    except InvalidJson as error:
        raise Problem.invalid(str(error), "invalid_json") from None
    return text.decode()
