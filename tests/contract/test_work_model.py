"""The queue and its leases against a model: whatever order things happen in, over restarts too.

The model knows of each task what was acknowledged, and of each lease who has it. It is written by hand: what
borrowed the product's own rules could not find a fault in them.
"""

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from stellwerk.database.database import Database, open_database
from stellwerk.settings import DatabaseSettings
from stellwerk.trust.principal import LOCAL
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.states import FINISHED, State
from stellwerk.work.task import Assignment, Holder
from support.clock import FakeClock
from support.work import ANNA, ANYTHING, BERT, Queue

HOLDERS = st.sampled_from([ANNA, BERT])
LONGER_THAN_ANY_LEASE_S = 100.0


@dataclass
class Known:
    """What is known of one task."""

    repeatable: bool
    begun: int = 0
    """Attempts that were acknowledged as begun."""
    fences: list[int] = field(default_factory=list)
    result: str | None = None
    """The result that was acknowledged."""


class QueueModel(RuleBasedStateMachine):
    """See the module."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.known: dict[str, Known] = {}

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.do(self._open())

    async def _open(self) -> None:
        self.database: Database = await open_database(
            "sqlite", data_dir=Path(self.folder.name), settings=DatabaseSettings()
        )
        self.queue = Queue(self.database, self.clock, retry_base_s=0.0, retry_cap_s=0.0)
        await self.queue.start()

    async def _close(self) -> None:
        await self.queue.stop()
        await self.database.close()

    def teardown(self) -> None:
        with contextlib.suppress(AttributeError):
            self.do(self._close())
        self.loop.close()
        self.folder.cleanup()

    @rule(repeatable=st.booleans())
    def submit(self, repeatable: bool) -> None:
        self.known[self.do(self.queue.submit(repeatable=repeatable))] = Known(repeatable)

    @rule(target=leases, holder=HOLDERS)
    def claim(self, holder: Holder) -> Assignment | None:
        given: list[Assignment] = self.do(self.queue.work.claim(holder, ANYTHING, 1))
        for one in given:
            known = self.known[one.task_id]
            assert known.result is None, "a task that succeeded is given out again"
            assert known.repeatable or not known.begun, "a task that may run once only is begun again"
            assert all(one.fence > fence for fence in known.fences), "fences grow"
            known.fences.append(one.fence)
        return given[0] if given else None

    @rule(lease=leases)
    def acknowledge(self, lease: Assignment | None) -> None:
        if lease is None:
            return
        known = self.known[lease.task_id]
        with contextlib.suppress(WorkRefused):
            standing = self.do(self.queue.work.acknowledge(lease.holder, lease.task_id, lease.fence))
            assert lease.fence == known.fences[-1], "an older lease begins"
            known.begun += standing.state is State.RUNNING

    @rule(lease=leases, say=st.sampled_from(["1", "2"]))
    def complete(self, lease: Assignment | None, say: str) -> None:
        if lease is None:
            return
        known = self.known[lease.task_id]
        try:
            self.do(self.queue.work.complete(lease.holder, lease.task_id, lease.fence, say))
        except WorkRefused:
            return
        assert lease.fence == known.fences[-1], "an older lease settles"
        assert known.result in (None, say), "another result is acknowledged"
        known.result = say

    @rule(lease=leases, retryable=st.booleans())
    def fail(self, lease: Assignment | None, retryable: bool) -> None:
        if lease is not None:
            with contextlib.suppress(WorkRefused):
                self.do(
                    self.queue.work.fail(lease.holder, lease.task_id, lease.fence, "{}", retryable=retryable)
                )
                assert lease.fence == self.known[lease.task_id].fences[-1]

    @rule(lease=leases)
    def hand_back(self, lease: Assignment | None) -> None:
        if lease is not None:
            with contextlib.suppress(WorkRefused):
                self.do(self.queue.work.hand_back(lease.holder, lease.task_id, lease.fence))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.known)))
        with contextlib.suppress(WorkRefused):
            self.do(self.queue.work.cancel(LOCAL, task_id))

    @rule(seconds=st.sampled_from([1.0, 11.0, LONGER_THAN_ANY_LEASE_S]))
    def pass_time(self, seconds: float) -> None:
        self.do(self.queue.pass_time(seconds))

    @rule()
    def restart(self) -> None:
        self.do(self._close())
        self.do(self._open())

    @invariant()
    def what_was_acknowledged_is_there(self) -> None:
        for task_id, known in self.known.items():
            task = self.do(self.queue.task(task_id))
            if known.result is not None:
                assert task.state is State.SUCCEEDED
                assert self.do(self.queue.work.result(task_id)).result == known.result
            assert task.state in FINISHED or task.attempt <= 3

    @invariant()
    def counters_count(self) -> None:
        if not self.known:
            return
        states = [self.do(self.queue.task(task_id)).state for task_id in self.known]
        counted = self.do(self.database.counters("state."))
        for state in State:
            assert counted.get(f"state.{state.value}", 0) == states.count(state), (state, counted)


QueueModel.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestQueueAgainstItsModel = QueueModel.TestCase
