"""What the queue takes and gives: plain frozen values. Instants are microseconds UTC, JSON is raw text."""

from typing import NamedTuple

import msgspec

from stellwerk.work.requirements import Requirements
from stellwerk.work.states import FINISHED, State

_NOTHING_ASKED = Requirements()


class Holder(NamedTuple):
    """Who holds a lease: one instance of a group."""

    group: str
    instance: str = "default"


class Submission(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A task as somebody hands it in."""

    task_data: str
    """JSON text; kept and handed on as it is."""
    task_type: str = ""
    priority: int = 10
    priority_name: str = "normal"
    """As sent; echoed."""
    requirements: Requirements = _NOTHING_ASKED
    requirements_text: str = "{}"
    """JSON text as sent, unknown requirements included."""
    preferred: tuple[str, ...] = ()
    """Capabilities that the capability-based strategy prefers; they exclude nobody."""
    task_id: str | None = None
    """The client's own id; counts as an idempotency key as long as the task exists."""
    idempotency_key: str | None = None
    repeatable: bool = True
    """Whether the task may run again after its holder was lost or an attempt failed."""
    max_attempts: int | None = None
    """None: the setting."""
    not_before: int | None = None
    delay_us: int | None = None
    """Relative form of `not_before`; a repeated submission with the same delay counts as the same body."""
    deadline_at: int | None = None
    expires_us: int | None = None
    """Relative form of `deadline_at`; counts as `delay_us` does."""
    timeout_us: int | None = None
    """Longest running time of one attempt."""
    application: str | None = None
    delivered: bool = False
    """Whether its submitter delivers it to `requirements.agent` by itself, so that nobody can claim it."""


class Submitted(msgspec.Struct, frozen=True, gc=False):
    """The answer to a submission. For a duplicate: what the first submission got."""

    task_id: str
    submitted_at: int
    state: State
    duplicate: bool


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A waiting task as the choice of a holder sees it."""

    task_id: str
    queue_key: str
    form_id: str
    target_group: str | None
    """Group that alone may take it."""
    priority: int
    rank_at: int
    submitted_at: int
    task_type: str
    preferred: tuple[str, ...] = ()


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """One leased attempt, with everything that its holder needs."""

    task_id: str
    attempt: int
    """Counts from 1."""
    fence: int
    """Grows with every lease of the task; every message of the holder carries it."""
    holder: Holder
    task_type: str
    task_data: str
    requirements: str
    priority: int
    priority_name: str
    repeatable: bool
    submitted_at: int
    deadline_at: int | None
    timeout_us: int | None
    lease_expires_at: int
    state: State = State.LEASED
    """Differs from leased only in the answer of `Work.held`."""
    reason: str | None = None
    """Why it is to stop, where it is."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where a task stands after its holder started it, reported on it or asked for more time."""

    task_id: str
    state: State
    lease_expires_at: int
    reason: str | None = None
    """Why it is to stop, where it is."""

    @property
    def stop_asked(self) -> bool:
        """Whether the holder should stop and confirm the cancellation."""
        return self.state is State.CANCELLING


class Settled(msgspec.Struct, frozen=True, gc=False):
    """Where a task stands after its holder was done with it, or after somebody cancelled or requeued it."""

    task_id: str
    state: State
    duplicate: bool = False
    """The same had been said before; nothing was changed."""
    reason: str | None = None
    late: bool = False
    """It was said of a task that had been given up, and is kept beside it."""


class Task(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A task as it is shown. The last five are None in lists."""

    task_id: str
    principal: str
    application: str | None
    task_type: str
    target_group: str | None
    priority: int
    priority_name: str
    state: State
    reason: str | None
    repeatable: bool
    attempt: int
    max_attempts: int
    fence: int
    submitted_at: int
    not_before: int | None
    deadline_at: int | None
    timeout_us: int | None
    leased_at: int | None
    started_at: int | None
    finished_at: int | None
    lease_expires_at: int | None
    cancel_requested_at: int | None
    holder_group: str | None
    holder_instance: str | None
    progress: float | None
    progress_note: str | None
    task_data: str | None = None
    requirements: str | None = None
    preferred: str | None = None
    result: str | None = None
    error: str | None = None

    @property
    def finished(self) -> bool:
        return self.state in FINISHED


class TaskFilter(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a list shows; None and empty mean everything."""

    states: tuple[State, ...] = ()
    task_type: str | None = None
    group: str | None = None
    """Last or present holder."""
    priority: int | None = None
    principal: str | None = None


class TaskPage(msgspec.Struct, frozen=True, gc=False):
    """Some tasks, newest first.

    A page may be short or empty although more follow: look at the cursor only.
    """

    tasks: tuple[Task, ...]
    next_cursor: str | None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a task stands for those who wait for it."""

    task_id: str
    state: State
    reason: str | None
    result: str | None
    """JSON text."""
    error: str | None
    """JSON text."""

    @property
    def finished(self) -> bool:
        return self.state in FINISHED


class LogLine(msgspec.Struct, frozen=True, gc=False):
    """One line of one attempt. Sequence numbers are the worker's: the same number again is the same line."""

    seq: int
    line: str
    level: str = "info"
    at: int | None = None
    """When the worker wrote it; None becomes the time of arrival."""


class TaskLog(msgspec.Struct, frozen=True, gc=False):
    """Lines of one attempt, in order."""

    task_id: str
    attempt: int
    lines: tuple[LogLine, ...]
    more: bool


class WorkStats(msgspec.Struct, frozen=True, gc=False):
    """Figures since the database was made, and the sizes of now."""

    queue_sizes: dict[str, int]
    """Waiting tasks per priority class, delayed ones included; all five names."""
    states: dict[str, int]
    """Tasks that are kept, per state; all eight."""
    submitted: int
    distributed: int
    completed: int
    failed: int
    distribution_us: int
    """Sum over first attempts of the time between being ready and being leased."""
    assigned_ok: int
    """Attempts that succeeded."""
    assigned_failed: int
    """Attempts that failed or were lost."""
    active: int
    """Leases now."""
