"""The task-stream of one agent: tasks go out as they are leased, reports come back.

Theory of operation. `Duplex` reads, orders the steps of each task, and closes. The stream is the channel of
the agent's seat; a delivery whose credentials must be read is made ready in a step of its own. The first
frame may be `hello`: what the agent works on is compared with its leases of before. A lease that it does not
know and that had not begun is sent again; one that had begun and may be repeated is given back; one that may
not ends as lost in its time. Without `hello` the deadlines decide. Heartbeats go on over HTTP while the
stream stands, so its end shortens no lease.

An agent that neither asked for the subprotocol nor said `hello` knows only the published frames, and
acknowledges nothing: what it is sent counts as begun when it is leased, which saves it a commit of its own. A
stop goes out behind the delivery that may be under way. A pong is a sign of life like a
heartbeat; nothing else on the stream is.

Close codes: 4400 too many faulty messages, 4401 the certificate has ended, 4403 the agent was removed, 4408
the peer does not read, 4409 a newer stream took over, 4429 flooding, 1012 the server stops.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from stellwerk.clock import Clock
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.deployment.changing import UnknownDeployment
from stellwerk.fleet.deployment.record import DeploymentAgent
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.fleet.deployment.sessions import SessionConflict
from stellwerk.http.duplex import Duplex, Receive, Send, Steps
from stellwerk.http.limits import Rate
from stellwerk.http.problem import Problem
from stellwerk.interfaces.deployment.delivering import Delivery
from stellwerk.interfaces.deployment.errors import refuse
from stellwerk.interfaces.deployment.reports import Reports, Written
from stellwerk.interfaces.deployment.wire import frames
from stellwerk.trust.certificates.judging import Code, Identity, Refused
from stellwerk.trust.certificates.service import Identities
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Assignment, Holder

FAULTY, ENDED, REMOVED, REPLACED, FLOODING = 4400, 4401, 4403, 4409, 4429
FAULTS = 20
"""Messages that are no frames before the connection is closed: enough to debug with, too few to flood."""
FRAME_BYTES = 1_310_720
"""A result of 1 MiB with its envelope."""
LINES_PER_S, LINES_BURST = 200.0, 1_000
"""Log lines of one task; what is beyond is dropped, and one line says so."""
DROPPED = "Lines are dropped here: a task may log 200 lines a second, 1000 at once"
FRAMES_PER_S, FRAMES_BURST = 1_000.0, 20_000
"""Frames of one agent before it counts as flooding."""
GENERAL = ""
"""Key of the steps that belong to no task."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ends:
    """What the streams join."""

    work: Work
    identities: Identities
    deployments: Deployments
    delivery: Delivery
    reports: Reports
    clock: Clock
    steps: Steps


class TaskStream:
    """One connection of one agent; also the channel of its seat."""

    def __init__(
        self,
        ends: Ends,
        agent: DeploymentAgent,
        identity: Identity,
        *,
        holder: Holder,
        send: Send,
        acknowledges: bool,
    ) -> None:
        self._work = ends.work
        self._identities = ends.identities
        self._deployments = ends.deployments
        self._delivery = ends.delivery
        self._reports = ends.reports
        self._clock = ends.clock
        self._duplex = Duplex(send, ends.steps)
        self._before: dict[str, Assignment] = {}
        self._early: set[str] | None = set()
        """Tasks delivered before the first frame was read; None from then on."""
        self._acknowledges = acknowledges
        self._faults = 0
        self._dropping: set[str] = set()
        """Tasks whose last line was dropped."""
        self._frames = Rate(FRAMES_PER_S, FRAMES_BURST)
        self._lines = Rate(LINES_PER_S, LINES_BURST)
        self.agent_id = agent.agent_id
        self.identity = identity
        self.holder = holder
        self.end = self._duplex.end
        self.check = self._duplex.check
        self.drain = self._duplex.drain

    # The channel of the seat

    @property
    def alive(self) -> bool:
        """Whether what is delivered now has a chance to arrive."""
        return self._duplex.alive

    def deliver(self, assignments: Sequence[Assignment]) -> None:
        """Send tasks whose leases are durable."""
        for one in assignments:
            self._duplex.begin(one.task_id, lambda one=one: self._send_task(one))  # type: ignore[misc]
        if self._early is not None:
            self._early |= {one.task_id for one in assignments}

    def cancel(self, task_id: str, fence: int, reason: str | None) -> None:
        """Ask the agent to stop one attempt; its protocol has no word for why."""
        self._duplex.begin(task_id, lambda: self._stop(task_id))

    def begins(self) -> bool:
        """Tell whether what is delivered counts as begun: the agent will not say that it begins."""
        return not self._acknowledges

    # The connection

    def put(self, frame: frames.ToAgent) -> None:
        """Send a frame soon."""
        self._duplex.put(frames.encode(frame))

    def pong(self) -> None:
        """Take a sign of life."""
        self._duplex.begin(GENERAL, self._contact)

    async def serve(self, receive: Receive, before: Sequence[Assignment]) -> None:
        """Serve until the connection ends; `before` are the leases of before it."""
        self._before = {one.task_id: one for one in before}
        await self._duplex.serve(receive, self._take)

    def refused(self, refused: Refused) -> None:
        """End the connection of an agent whose certificate is not good any more."""
        if refused.code is Code.REVOKED:
            self.put(frames.CredentialsRevoked())
        self.end(REMOVED if refused.code is Code.REVOKED else ENDED, refused.detail)

    async def _take(self, message: Mapping[str, Any]) -> None:
        refused = self._identities.still_valid(self.identity)
        if refused is not None:
            self.refused(refused)
            return
        for frame in self._decode(message):
            if self._frames.take(self.agent_id, self._clock.now_us()):
                self.end(FLOODING, "Too many messages")
                return
            if isinstance(frame, frames.Hello):
                self._greeted(frame)
            elif (kept := self._kept(frame)) is not None:
                self._duplex.begin(frame.task_id, lambda kept=kept: self._answer(kept))  # type: ignore[misc]
            self._before, self._early = {}, None

    def _decode(self, message: Mapping[str, Any]) -> list[frames.Incoming]:
        text = message.get("text") or message.get("bytes") or b""
        try:
            if len(text) > FRAME_BYTES:
                raise ValueError(f"it has more than {FRAME_BYTES} bytes")
            return frames.decode(text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
            self._faults += 1
            self.put(frames.Error(code="message.invalid", message=f"This is no frame: {fault}"))
            if self._faults > FAULTS:
                self.end(FAULTY, "Too many faulty messages")
            return []

    def _kept(self, frame: frames.Reports) -> frames.Reports | None:
        """Return the report, or what stands for the first of many lines that are dropped; None for those."""
        if not isinstance(frame, frames.TaskLog):
            return frame
        if not self._lines.take(frame.task_id, self._clock.now_us()):
            self._dropping.discard(frame.task_id)
            return frame
        if frame.task_id in self._dropping:
            return None
        self._dropping.add(frame.task_id)
        return msgspec.structs.replace(frame, message=DROPPED, level="warning")

    def _greeted(self, hello: frames.Hello) -> None:
        self._acknowledges = True
        try:
            self._deployments.speak(self.agent_id, hello.instance_id)
        except SessionConflict as conflict:
            self.end(REPLACED, str(conflict))
            return
        self._reconcile(hello)

    async def _contact(self) -> None:
        try:
            await self._deployments.contact(self.agent_id)
        except (UnknownDeployment, DatabaseUnavailable) as error:
            log.info("a sign of life was not taken", agent=self.holder.group, detail=str(error))

    def _reconcile(self, hello: frames.Hello) -> None:
        running = {one.task_id for one in hello.running}
        for task_id, known in self._before.items():
            if known.state is State.CANCELLING:
                self.cancel(task_id, known.fence, known.reason)
            elif task_id not in running and task_id not in (self._early or ()):
                self._duplex.begin(task_id, lambda known=known: self._missed(known))  # type: ignore[misc]
        for task_id in running - self._before.keys():
            self._duplex.begin(task_id, lambda task_id=task_id: self._ended(task_id))  # type: ignore[misc]

    async def _missed(self, lease: Assignment) -> None:
        """See to a lease of before that the agent does not know (any more)."""
        if lease.state is State.LEASED:
            await self._send_task(lease)
        elif lease.repeatable:
            await self._give_back(lease, unsent=False)
        # What has begun and may not be repeated ends as lost when its lease does.

    async def _ended(self, task_id: str) -> None:
        """Tell the agent to stop what was cancelled while it was away; what is lost may go on."""
        try:
            task = await self._work.get(task_id)
        except (WorkRefused, DatabaseUnavailable):
            return
        if task.state is State.CANCELLED:
            self.cancel(task_id, task.fence, task.reason)

    async def _send_task(self, assignment: Assignment) -> None:
        try:
            task = await self._delivery.deliver(assignment)
        except Exception as error:
            log.warning("a task could not be delivered", task=assignment.task_id, detail=str(error))
            if assignment.state is State.RUNNING:
                await self._give_back(assignment, unsent=True)
            # What is not begun, the acknowledgement deadline gives out again.
            return
        begun = self._acknowledges or assignment.state is State.RUNNING
        if task is not None and (begun or await self._begun(assignment)):
            self.put(frames.TaskAssigned(task=task))

    async def _stop(self, task_id: str) -> None:
        self.put(frames.TaskCancelled(task_id=task_id))

    async def _give_back(self, lease: Assignment, *, unsent: bool) -> None:
        try:
            await self._work.hand_back(self.holder, lease.task_id, lease.fence, unsent=unsent)
        except (WorkRefused, DatabaseUnavailable) as error:
            log.info("a lease could not be given back", task=lease.task_id, detail=str(error))

    async def _begun(self, assignment: Assignment) -> bool:
        """Begin a task for an agent that will not say that it does; tell whether it still may."""
        try:
            await self._reports.accept(self.holder, assignment.task_id, assignment.fence)
        except (Problem, WorkRefused, DatabaseUnavailable) as error:
            log.info("a task was not sent", task=assignment.task_id, detail=str(error))
            return False
        return True

    async def _answer(self, frame: frames.Reports) -> None:
        try:
            answer = await self._report(frame)
        except Exception as error:
            answer = self._refusal(error, frame)
        if answer is not None:
            self.put(answer)

    async def _report(self, frame: frames.Reports) -> frames.ToAgent | None:
        reports, holder, task_id, lease = self._reports, self.holder, frame.task_id, frame.lease
        match frame:
            case frames.TaskAccepted():
                await reports.accept(holder, task_id, lease)
                return frames.TaskStarted(task_id=task_id, lease=await self._lease(task_id, lease))
            case frames.TaskProgress():
                writing = await reports.progress(holder, task_id, lease, frame.progress, frame.message)
            case frames.TaskLog():
                writing = await reports.log(holder, task_id, lease, [frame])
            case frames.TaskReleased():
                await reports.release(holder, task_id, lease)
                return frames.TaskRecorded(task_id=task_id, lease=lease)
            case _:
                await reports.complete(holder, task_id, frame)
                return frames.TaskRecorded(task_id=task_id, lease=lease)
        writing.add_done_callback(lambda written: self._written(written, frame))
        return None

    def _written(self, written: Written, frame: frames.Reports) -> None:
        """Answer a report that needs an answer: the task is to be stopped, or is not the agent's any more."""
        error = None if written.cancelled() else written.exception()
        if isinstance(error, Exception):
            self.put(self._refusal(error, frame))
        elif not written.cancelled() and written.result().stop_asked:
            self.put(frames.TaskCancelled(task_id=frame.task_id))

    async def _lease(self, task_id: str, lease: int | None) -> int:
        return (await self._work.get(task_id)).fence if lease is None else lease

    def _refusal(self, error: Exception, frame: frames.Reports) -> frames.Error:
        if isinstance(error, DatabaseUnavailable):
            code, message = "unavailable", error.detail
        elif (problem := refuse(error)) is not None:
            code, message = problem.code, problem.detail
        else:
            log.error("frame_failed", agent=self.holder.group, exc_info=error)
            code, message = "internal", "Internal server error"
        return frames.Error(code=code, message=message, task_id=frame.task_id, lease=frame.lease)
