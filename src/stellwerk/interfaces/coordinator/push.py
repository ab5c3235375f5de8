"""HTTP push: tasks are posted to agents that asked for it when they registered (`metadata.delivery:
"push"`).

Theory of operation. Each pushed instance has a seat, so that the dispatcher gives it tasks as it does to
connected agents. Of several replicas one pushes: whoever holds the named lock; when it is lost, the seats
go.

A delivery takes four steps: the lease is acknowledged (durable: from here on the agent may have the task),
the task is posted, the answer is judged, the judgement is recorded. 200 or 201 with `result` completes and
with `error` fails; any other 2xx means that the agent reports later over the API. Nothing was sent when the
connection did not come about: the task is handed back, which is no attempt. 429 and 503 say the same. Any
other status fails the attempt. If the request may have arrived but no answer came, the agent may be at
work: the lease decides, and the agent can still report. A running task that may run only once cannot be
handed back; it fails, to be retried by whoever submitted it.

A breaker for each endpoint opens after several failures in a row; its agent then gets nothing until the
pause is over.
"""

import asyncio
import contextlib
import uuid
from collections.abc import Sequence

import msgspec
import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet.model import AgentQuery, AgentView
from stellwerk.fleet.service import Fleet
from stellwerk.http.instants import iso, iso_or_none
from stellwerk.http.outbound import Outbound
from stellwerk.http.outbound_policy import AnswerLost, DialFailed, OutboundAnswer, OutboundRefused
from stellwerk.interfaces.coordinator import rendering
from stellwerk.interfaces.coordinator.breaker import Breaker
from stellwerk.interfaces.coordinator.holders import instance_of, seat_of
from stellwerk.interfaces.coordinator.wire.push import Envelope, PushAnswer, PushedTask
from stellwerk.loop import Loop
from stellwerk.settings import OutboundSettings, WorkSettings
from stellwerk.work.offering import accepts, offer
from stellwerk.work.refusals import NotPossible, WorkRefused
from stellwerk.work.seats import Seat
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Assignment, Holder

LOCK = "coordinator.push"
HELD_S, RENEW_S = 15.0, 5.0
RETRY_S = 1.0
"""How long a task rests that could not be handed over."""
DIALS = 64
"""Deliveries under way at once; the rest waits for its turn."""
DONE = frozenset({200, 201})
ANSWERED = frozenset({200, 201, 202, 204})
COME_BACK = frozenset({429, 503})
EXECUTE = "/tasks/execute"

log = structlog.get_logger(__name__)
encode = msgspec.json.Encoder().encode


class PushChannel:
    """The way to one instance: each delivery is a task of the courier's."""

    __slots__ = ("_courier", "breaker", "endpoint")

    def __init__(self, courier: "Courier", endpoint: str, breaker: Breaker) -> None:
        self._courier = courier
        self.endpoint = endpoint
        self.breaker = breaker

    @property
    def alive(self) -> bool:
        """Whether what is delivered now has a chance to arrive."""
        return not self.breaker.is_open(asyncio.get_running_loop().time())

    def deliver(self, assignments: Sequence[Assignment]) -> None:
        """Post tasks whose leases are durable."""
        for assignment in assignments:
            self._courier.begin(self, assignment)

    def cancel(self, task_id: str, fence: int, reason: str) -> None:
        """Do nothing: the envelope knows no cancellation. The task ends when its lease does."""


class Courier:
    """Keeps the seats of pushed agents and delivers. Start and stop are idempotent."""

    def __init__(
        self,
        *,
        database: Database,
        fleet: Fleet,
        work: Work,
        outbound: Outbound,
        clock: Clock,
        outbound_settings: OutboundSettings,
        work_settings: WorkSettings,
    ) -> None:
        self._fleet = fleet
        self._work = work
        self._outbound = outbound
        self._clock = clock
        self._limits = outbound_settings
        self._capacity = work_settings.default_capacity
        self._lock = database.lock(LOCK, uuid.uuid4().hex)
        self._seats: dict[Holder, Seat] = {}
        self._endpoints: dict[Holder, str] = {}
        self._breakers: dict[str, Breaker] = {}
        self._changed: set[str] = set()
        self._dials = asyncio.Semaphore(DIALS)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._started = False
        self.loop = Loop("coordinator.push", self._keep)

    def __len__(self) -> int:
        return len(self._seats)

    async def start(self) -> None:
        """Begin to push, once this is the replica to do it."""
        self._started = True
        self.loop.wake()
        self.loop.start()

    async def stop(self, limit_s: float) -> None:
        """Give up the seats, let deliveries end within the limit, and let another replica take over."""
        if not self._started:
            return
        self._started = False
        await self.loop.stop()
        self._leave()
        if self._deliveries:
            _, late = await asyncio.wait(self._deliveries, timeout=limit_s)
            for task in late:
                task.cancel()
        with contextlib.suppress(DatabaseUnavailable):
            await self._lock.release()

    def changed(self, group: str) -> None:
        """Take note that an agent has changed; its seats follow soon."""
        self._changed.add(group)
        self.loop.wake()

    def begin(self, channel: PushChannel, assignment: Assignment) -> None:
        """Deliver one task, beside others."""
        task = asyncio.create_task(self._deliver(channel, assignment))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    # Seats

    async def _keep(self) -> None:
        while await self.loop.rest(RENEW_S):
            try:
                await self._renew()
                if self._lock.fence is not None:
                    await self._follow()
            except DatabaseUnavailable as error:
                log.warning("push_paused", detail=error.detail)

    async def _renew(self) -> None:
        now_us, held_us = self._clock.now_us(), int(HELD_S * MICROSECONDS)
        if await self._lock.renew(now_us, held_us):
            return
        self._leave()
        if await self._lock.take(now_us, held_us) is not None:
            self._changed = {view.group for view in self._fleet.find(AgentQuery())}

    async def _follow(self) -> None:
        while self._changed:
            group = self._changed.pop()
            view = self._fleet.get(group)
            pushed = {} if view is None else pushed_instances(view)
            for holder in [one for one in self._seats if one.group == group]:
                if pushed.get(holder.instance) != self._endpoints[holder]:
                    self._work.disconnect(self._seats.pop(holder))
            for name, endpoint in pushed.items():
                if view is not None and Holder(group, name) not in self._seats:
                    await self._sit(view, name, endpoint)

    async def _sit(self, view: AgentView, name: str, endpoint: str) -> None:
        breaker = self._breakers.setdefault(
            endpoint, Breaker(self._limits.breaker_failures, self._limits.breaker_reset_s)
        )
        channel = PushChannel(self, endpoint, breaker)
        seat = seat_of(view, instance_of(view, name), channel, default_capacity=self._capacity)
        self._seats[seat.holder] = seat
        self._endpoints[seat.holder] = endpoint
        before = await self._work.connect(seat)
        # What was leased but not acknowledged was never posted; the rest the agent may be working on.
        channel.deliver([one for one in before if one.state is State.LEASED])

    def _leave(self) -> None:
        while self._seats:
            self._work.disconnect(self._seats.popitem()[1])

    # Deliveries

    async def _deliver(self, channel: PushChannel, assignment: Assignment) -> None:
        mark = (assignment.holder, assignment.task_id, assignment.fence)
        try:
            async with self._dials:
                if not assignment.repeatable and not await self._is_there(channel, assignment):
                    return
                await self._work.acknowledge(*mark)
                await self._post(channel, assignment)
        except WorkRefused as refused:
            log.info("push_obsolete", task=assignment.task_id, detail=str(refused))
        except DatabaseUnavailable as error:
            log.warning("push_unrecorded", task=assignment.task_id, detail=error.detail)
        except Exception:
            log.exception("push_failed", task=assignment.task_id)

    async def _is_there(self, channel: PushChannel, assignment: Assignment) -> bool:
        """Dial before the acknowledgement, after which such a task cannot be handed back."""
        try:
            await self._outbound.call("OPTIONS", channel.endpoint, timeout_s=self._limits.connect_timeout_s)
        except (DialFailed, AnswerLost) as error:
            self._failed(channel, assignment.holder)
            await self._hand_back(assignment, str(error))
            return False
        return True

    async def _post(self, channel: PushChannel, assignment: Assignment) -> None:
        body = encode(envelope(assignment, self._clock.now_us()))
        try:
            answer = await self._outbound.call(
                "POST", channel.endpoint, body, {"content-type": "application/json"}
            )
        except DialFailed as error:
            self._failed(channel, assignment.holder)
            await self._hand_back(assignment, str(error))
        except OutboundRefused as error:
            await self._fail(assignment, str(error), retryable=False)
        except AnswerLost as error:
            self._failed(channel, assignment.holder)
            log.info("push_unanswered", task=assignment.task_id, detail=str(error))
        else:
            await self._judge(channel, assignment, answer)

    async def _judge(self, channel: PushChannel, assignment: Assignment, answer: OutboundAnswer) -> None:
        mark = (assignment.holder, assignment.task_id, assignment.fence)
        if answer.status in COME_BACK:
            self._failed(channel, assignment.holder)
            await self._hand_back(assignment, f"The agent answered {answer.status}")
            return
        if answer.status not in ANSWERED:
            self._failed(channel, assignment.holder)
            await self._fail(assignment, f"The agent answered {answer.status}")
            return
        channel.breaker.succeeded()
        said = read_answer(answer)
        if isinstance(said.result, msgspec.Raw):
            await self._work.complete(*mark, bytes(said.result).decode())
        elif isinstance(said.error, msgspec.Raw):
            await self._work.fail(*mark, bytes(said.error).decode())

    async def _hand_back(self, assignment: Assignment, why: str) -> None:
        mark = (assignment.holder, assignment.task_id, assignment.fence)
        try:
            await self._work.hand_back(*mark, delay_s=RETRY_S)
        except NotPossible:
            await self._fail(assignment, why)

    async def _fail(self, assignment: Assignment, why: str, *, retryable: bool = True) -> None:
        mark = (assignment.holder, assignment.task_id, assignment.fence)
        await self._work.fail(*mark, encode(why).decode(), retryable=retryable)

    def _failed(self, channel: PushChannel, holder: Holder) -> None:
        loop = asyncio.get_running_loop()
        seat = self._seats.get(holder)
        if channel.breaker.failed(loop.time()) and seat is not None:
            self._work.seats.change(holder, seat.attributes, accepting=False, weight=seat.weight)
            loop.call_later(self._limits.breaker_reset_s, self._closed, holder)

    def _closed(self, holder: Holder) -> None:
        view = self._fleet.get(holder.group)
        instance = None if view is None else view.instance(holder.instance)
        if view is not None and instance is not None:
            self._work.seats.change(
                holder, offer(view, instance), accepting=accepts(instance), weight=instance.weight_hint
            )


def pushed_instances(view: AgentView) -> dict[str, str]:
    """Map the instances of an agent that asked for push to the addresses of their tasks."""
    return {
        one.instance: one.endpoints["http"].rstrip("/") + EXECUTE
        for one in view.instances
        if one.metadata.get("delivery") == "push" and one.endpoints.get("http")
    }


def envelope(assignment: Assignment, now_us: int) -> Envelope:
    """Wrap a task as agents expect it."""
    now = iso(now_us)
    return Envelope(
        id=str(uuid.uuid4()),
        receiver_id=assignment.holder.group,
        priority=assignment.priority_name,
        timestamp=now,
        payload=PushedTask(
            task_id=assignment.task_id,
            task_type=assignment.task_type or "unknown",
            task_data=rendering.raw(assignment.task_data),
            requirements=rendering.raw(assignment.requirements),
            deadline=iso_or_none(assignment.deadline_at),
            priority=assignment.priority_name,
            assigned_agent=assignment.holder.group,
            created_at=iso(assignment.submitted_at),
            updated_at=now,
            attempt=assignment.attempt,
            lease=assignment.fence,
        ),
    )


def read_answer(answer: OutboundAnswer) -> PushAnswer:
    """Read what the agent said; what is no JSON object of ours says nothing."""
    if answer.status not in DONE or len(answer.body) == 0:
        return PushAnswer()
    try:
        return _answer.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return PushAnswer()


_answer = msgspec.json.Decoder(PushAnswer)
