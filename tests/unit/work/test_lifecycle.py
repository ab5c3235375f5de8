"""Whatever happens to a task in whatever order, what must hold holds."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from stellwerk.settings import WorkSettings
from stellwerk.work import lifecycle
from stellwerk.work.lease import terms_of
from stellwerk.work.lifecycle import Live
from stellwerk.work.refusals import WorkRefused
from stellwerk.work.states import ACTIVE, FINISHED, State

TERMS = terms_of(WorkSettings())
START = 1_790_000_000_000_000
SECONDS = st.integers(0, 400)
JITTERS = st.floats(0, 1)


def waiting(**fields: object) -> Live:
    """A task that was just submitted."""
    values = dict.fromkeys(Live.__struct_fields__)
    values |= {
        "task_id": "t",
        "state": State.QUEUED,
        "attempt": 0,
        "fence": 0,
        "delayed": 0,
        "max_attempts": 3,
    }
    values |= {"repeatable": 1, "principal": "p", "queue_key": "any", "form_id": "any", "priority": 10}
    return Live(**{**values, "rank_at": START, "submitted_at": START, **fields})  # type: ignore[arg-type]


class Life(RuleBasedStateMachine):
    """One task under random steps. Two attempts of one that may run only once must never both have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.task = waiting()
        self.begun: set[int] = set()
        self.requeued = False

    @rule(
        repeatable=st.booleans(),
        most=st.integers(1, 4),
        timeout=st.none() | st.integers(1, 200),
        deadline=st.none() | st.integers(1, 500),
    )
    @precondition(lambda self: self.task.fence == 0 and self.task.state is State.QUEUED)
    def describe(self, repeatable: bool, most: int, timeout: int | None, deadline: int | None) -> None:
        self.task = replace(
            self.task,
            repeatable=int(repeatable),
            max_attempts=most,
            timeout_us=timeout and timeout * 1_000_000,
            deadline_at=deadline and START + deadline * 1_000_000,
        )

    @rule()
    @precondition(lambda self: self.task.state is State.QUEUED and not self.task.delayed)
    def lease(self) -> None:
        self.task = replace(
            self.task,
            state=State.LEASED,
            reason=None,
            attempt=self.task.attempt + 1,
            fence=self.task.fence + 1,
            leased_at=self.now,
            started_at=None,
            lease_expires_at=self.now + TERMS.acknowledge_us,
            holder_group="g",
            holder_instance="i",
        )

    @rule(seconds=SECONDS)
    def wait(self, seconds: int) -> None:
        self.now += seconds * 1_000_000
        if self.task.delayed and (self.task.not_before or 0) <= self.now:
            self.task = replace(self.task, delayed=0)

    @rule()
    def start(self) -> None:
        before = self.task.state
        if self.step(lambda: lifecycle.start(self.task, self.now, TERMS)) and before is State.LEASED:
            self.begun.add(self.task.fence)

    @rule()
    def succeed(self) -> None:
        before = self.task
        if self.step(lambda: lifecycle.succeed(self.task, self.now)):
            assert before.state in ACTIVE or before.reason in ("lost", "unacknowledged")

    @rule(retryable=st.booleans(), jitter=JITTERS)
    def fail(self, retryable: bool, jitter: float) -> None:
        self.step(
            lambda: lifecycle.fail(self.task, self.now, retryable=retryable, jitter=jitter, terms=TERMS)
        )

    @rule(delay=st.sampled_from([0, 5_000_000]))
    def hand_back(self, delay: int) -> None:
        self.step(lambda: lifecycle.hand_back(self.task, self.now, delay))

    @rule()
    def confirm(self) -> None:
        self.step(lambda: lifecycle.confirm_stopped(self.task, self.now))

    @rule()
    def cancel(self) -> None:
        self.step(lambda: lifecycle.cancel(self.task, self.now, TERMS))

    @rule()
    def requeue(self) -> None:
        if self.step(lambda: lifecycle.requeue(self.task, self.now)):
            self.begun.clear()  # Somebody wanted it to run again.

    @rule(jitter=JITTERS)
    def expire(self, jitter: float) -> None:
        self.step(lambda: lifecycle.expire_lease(self.task, self.now, jitter=jitter, terms=TERMS))

    @rule()
    def pass_deadline(self) -> None:
        self.step(lambda: lifecycle.pass_deadline(self.task, self.now, TERMS))

    def step(self, step) -> bool:  # type: ignore[no-untyped-def]
        before = self.task
        try:
            self.task = step()
        except WorkRefused:
            assert self.task is before
            return False
        return self.task is not before

    @invariant()
    def what_may_run_once_has_begun_at_most_once(self) -> None:
        if not self.task.repeatable:
            assert len(self.begun) <= 1

    @invariant()
    def attempts_stay_within_their_limit(self) -> None:
        assert 0 <= self.task.attempt <= self.task.max_attempts

    @invariant()
    def a_lease_is_there_exactly_while_somebody_holds_it(self) -> None:
        assert (self.task.lease_expires_at is not None) == (self.task.state in ACTIVE)

    @invariant()
    def an_end_has_its_instant(self) -> None:
        assert (self.task.finished_at is not None) == (self.task.state in FINISHED)

    @invariant()
    def only_waiting_tasks_are_delayed(self) -> None:
        assert not self.task.delayed or (self.task.state is State.QUEUED and self.task.not_before is not None)

    @invariant()
    def no_lease_outlasts_the_running_time(self) -> None:
        task = self.task
        if task.state is State.RUNNING and task.timeout_us is not None:
            assert task.started_at is not None and task.lease_expires_at is not None
            assert task.lease_expires_at <= task.started_at + task.timeout_us


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@given(SECONDS)
def test_a_lease_that_holds_is_left_alone(seconds: int) -> None:
    task = waiting(
        state=State.RUNNING,
        attempt=1,
        fence=1,
        started_at=START,
        lease_expires_at=START + seconds * 1_000_000 + 1,
    )
    assert lifecycle.expire_lease(task, START + seconds * 1_000_000, jitter=0.5, terms=TERMS) is task


def test_a_fresh_lease_is_not_worth_a_write() -> None:
    task = waiting(state=State.RUNNING, fence=1, started_at=START, lease_expires_at=START + TERMS.running_us)
    assert lifecycle.renew(task, START + TERMS.running_us // 3 - 1, TERMS) is task
    renewed = lifecycle.renew(task, START + TERMS.running_us // 3, TERMS)
    assert renewed.lease_expires_at == START + TERMS.running_us * 4 // 3
