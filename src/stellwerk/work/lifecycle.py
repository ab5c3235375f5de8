"""What each step makes of a task: plain functions from a task and an instant to the changed task, or a
refusal.

Theory of operation. A lease is proved by the holder's group and the fence, which grows with every lease and
never otherwise; the instance may have been restarted. As long as the fence stands nobody else has got the
task, so a result that arrives under it is taken even after the holder was given up (`lost`,
`unacknowledged`): that is not a second execution but the end of the first. The reason that a task carries
tells how its last attempt ended; that is how a message that is sent twice is recognised. Instants belong to
the caller.
"""

from msgspec import Struct
from msgspec.structs import replace

from stellwerk.work.lease import Terms, running_until
from stellwerk.work.refusals import ConflictingResult, LeaseLost, NotPossible
from stellwerk.work.retry import backoff_us
from stellwerk.work.states import ACTIVE, FINISHED, Reason, State, Step, next_state
from stellwerk.work.task import Holder


class Live(Struct, frozen=True, gc=False):
    """The columns of a task that decide what may happen to it, in the order of `store.LIVE_COLUMNS`."""

    task_id: str
    state: State
    reason: str | None
    attempt: int
    fence: int
    not_before: int | None
    delayed: int
    deadline_at: int | None
    leased_at: int | None
    started_at: int | None
    finished_at: int | None
    lease_expires_at: int | None
    cancel_requested_at: int | None
    holder_group: str | None
    holder_instance: str | None
    progress: float | None
    progress_note: str | None
    # Never change after submission:
    max_attempts: int
    repeatable: int
    timeout_us: int | None
    principal: str
    application: str | None
    queue_key: str
    form_id: str
    priority: int
    rank_at: int
    submitted_at: int


class Change(Struct, frozen=True, gc=False):
    """One step of one task.

    `before is after` where nothing was to be done: the step had been taken already.
    """

    before: Live
    after: Live

    @property
    def duplicate(self) -> bool:
        return self.before is self.after


def prove_lease(task: Live, holder: Holder, fence: int) -> None:
    """Raise LeaseLost unless the holder got the task's last lease."""
    if fence != task.fence or holder.group != task.holder_group:
        raise LeaseLost(task.task_id, task.state)


def start(task: Live, now_us: int, terms: Terms) -> Live:
    """Begin, or go on with a renewed lease. Raises LeaseLost when the task was taken back."""
    if task.state is State.LEASED:
        until = running_until(now_us, now_us, task.timeout_us, terms)
        return replace(task, state=_next(task, Step.START), started_at=now_us, lease_expires_at=until)
    if task.state is State.RUNNING:
        return renew(task, now_us, terms)
    if task.state is State.CANCELLING:
        return task
    raise LeaseLost(task.task_id, task.state)


def entrust(task: Live, holder: Holder, now_us: int, terms: Terms, *, repeats: bool = False) -> Live:
    """Give a task to a holder that is dialled: one that waits, or another holder's that it could not be sent
    to, or one that is repeated because nobody knows whether it ran.

    Raises NotPossible for one that must not begin any more.
    """
    begins = task.state is State.QUEUED or repeats
    started_at = now_us if begins else task.started_at or now_us
    return replace(
        task,
        state=_next(task, Step.ENTRUST),
        reason=None,
        attempt=task.attempt + begins,
        fence=task.fence + 1,
        not_before=None,
        delayed=0,
        leased_at=now_us,
        started_at=started_at,
        lease_expires_at=running_until(now_us, started_at, task.timeout_us, terms),
        holder_group=holder.group,
        holder_instance=holder.instance,
        progress=None,
        progress_note=None,
    )


def renew(task: Live, now_us: int, terms: Terms) -> Live:
    """Let a running lease begin anew if a third of it has passed; otherwise it is not worth a write."""
    until = running_until(now_us, task.started_at or now_us, task.timeout_us, terms)
    if task.lease_expires_at is not None and until - task.lease_expires_at < terms.running_us // 3:
        return task
    return replace(task, lease_expires_at=until)


def succeed(task: Live, now_us: int) -> Live:
    """End with a result. Raises ConflictingResult when the task has ended, LeaseLost when it waits again."""
    if task.state in ACTIVE:
        return _end(task, Step.SUCCEED, now_us, None)
    if may_be_corrected(task):
        attempt = task.attempt + (task.reason == Reason.UNACKNOWLEDGED)  # It was begun after all.
        return replace(_end(task, Step.CORRECT, now_us, None), attempt=attempt)
    if task.state in FINISHED:
        raise ConflictingResult(task.task_id, task.state)
    raise LeaseLost(task.task_id, task.state)


def may_be_corrected(task: Live) -> bool:
    """Tell whether the holder was given up and nobody else got the task since."""
    if task.state is State.QUEUED:
        return task.reason in (Reason.LOST, Reason.UNACKNOWLEDGED)
    return task.reason == Reason.LOST and task.state in (State.FAILED, State.DEAD)


def fail(
    task: Live, now_us: int, *, retryable: bool, jitter: float, terms: Terms, reason: Reason = Reason.ERROR
) -> Live:
    """End an attempt with an error: tried again, dead or failed. Raises ConflictingResult, LeaseLost."""
    if task.state is State.CANCELLING:
        return stopped(task, now_us)
    if task.state in ACTIVE:
        if not (retryable and task.repeatable):
            return _end(task, Step.FAIL, now_us, reason)
        if task.attempt >= task.max_attempts:
            return _end(task, Step.EXHAUST, now_us, Reason.ATTEMPTS_EXHAUSTED)
        return _try_again(task, now_us, Reason.RETRY, jitter, terms)
    if task.state in FINISHED and not may_be_corrected(task):
        raise ConflictingResult(task.task_id, task.state)
    raise LeaseLost(task.task_id, task.state)


def hand_back(task: Live, now_us: int, delay_us: int = 0, *, unsent: bool = False) -> Live:
    """Queue the task again without counting the attempt; one that was being cancelled is cancelled.

    `unsent` says that its holder never got it, so that it has not begun, whatever its state says.
    Raises NotPossible for a task that may run only once and has begun, LeaseLost when it was taken back.
    """
    if task.state is State.CANCELLING:
        return stopped(task, now_us)
    if task.state is State.QUEUED and task.reason == Reason.HANDED_BACK:
        return task
    if task.state not in ACTIVE:
        raise LeaseLost(task.task_id, task.state)
    if task.state is State.RUNNING and not task.repeatable and not unsent:
        raise NotPossible(task.task_id, task.state, "handed back, because it may run only once and has begun")
    return _give_back(task, Reason.HANDED_BACK, now_us + delay_us if delay_us > 0 else None)


def confirm_stopped(task: Live, now_us: int) -> Live:
    """End a task whose holder stopped as asked. Raises NotPossible when nobody asked, ConflictingResult."""
    if task.state is State.CANCELLING:
        return stopped(task, now_us)
    if task.cancel_requested_at is not None and task.state in (State.CANCELLED, State.FAILED):
        return task
    if task.state in ACTIVE:
        raise NotPossible(
            task.task_id, task.state, "confirmed as cancelled, because nobody asked to cancel it"
        )
    if task.state in FINISHED:
        raise ConflictingResult(task.task_id, task.state)
    raise LeaseLost(task.task_id, task.state)


def stopped(task: Live, now_us: int) -> Live:
    """End a task in cancelling as it was meant to end."""
    if task.reason == Reason.TIMED_OUT:
        return _end(task, Step.FAIL, now_us, Reason.TIMED_OUT)
    return _end(task, Step.CANCEL, now_us, Reason.REQUESTED)


def cancel(task: Live, now_us: int, terms: Terms, reason: Reason = Reason.REQUESTED) -> Live:
    """Cancel a waiting task, ask the holder of another to stop.

    Raises NotPossible for one that has ended otherwise.
    """
    if task.state is State.QUEUED:
        return replace(_end(task, Step.CANCEL, now_us, reason), cancel_requested_at=now_us)
    if task.state in (State.CANCELLING, State.CANCELLED):
        return task
    if task.state in ACTIVE:
        return _ask_to_stop(task, now_us, reason, terms)
    raise NotPossible(task.task_id, task.state, "cancelled")


def abandon(task: Live, now_us: int) -> Live:
    """Fail a waiting task because the only holder that could do it is gone for good."""
    return _end(task, Step.FAIL, now_us, Reason.AGENT_REMOVED)


def requeue(task: Live, now_us: int) -> Live:
    """Queue an ended task again with all its attempts.

    A deadline that has passed no longer counts. Raises NotPossible.
    """
    if task.state not in FINISHED or task.state is State.SUCCEEDED:
        raise NotPossible(task.task_id, task.state, "requeued")
    deadline = task.deadline_at if task.deadline_at is not None and task.deadline_at > now_us else None
    return replace(
        task,
        state=_next(task, Step.REQUEUE),
        reason=Reason.REQUEUED,
        attempt=0,
        not_before=None,
        delayed=0,
        deadline_at=deadline,
        leased_at=None,
        started_at=None,
        finished_at=None,
        lease_expires_at=None,
        cancel_requested_at=None,
        progress=None,
        progress_note=None,
    )


def expire_lease(task: Live, now_us: int, *, jitter: float, terms: Terms) -> Live:
    """Take a task back from a holder that was not heard of in time.

    The same task if its lease still holds.
    """
    if task.state not in ACTIVE or task.lease_expires_at is None or task.lease_expires_at > now_us:
        return task
    if task.state is State.LEASED:
        return _give_back(task, Reason.UNACKNOWLEDGED, None)
    if task.state is State.CANCELLING:
        return stopped(task, now_us)
    if task.timeout_us is not None and (task.started_at or 0) + task.timeout_us <= now_us:
        return _ask_to_stop(task, now_us, Reason.TIMED_OUT, terms)
    if not task.repeatable:
        return _end(task, Step.FAIL, now_us, Reason.LOST)
    if task.attempt >= task.max_attempts:
        return _end(task, Step.EXHAUST, now_us, Reason.LOST)
    return _try_again(task, now_us, Reason.LOST, jitter, terms)


def forget(task: Live, now_us: int, *, jitter: float, terms: Terms, at_once: bool = False) -> Live:
    """Take a task back from a holder that came back without it, as if its lease had ended now.

    The attempt counts, so that a task which kills its worker does not come back for ever. `at_once`: it may
    begin again without a pause.
    """
    if task.state not in ACTIVE:
        return task
    after = expire_lease(replace(task, lease_expires_at=now_us), now_us, jitter=jitter, terms=terms)
    if at_once and after.state is State.QUEUED:
        return replace(after, not_before=None, delayed=0)
    return after


def pass_deadline(task: Live, now_us: int, terms: Terms) -> Live:
    """Fail a waiting task whose deadline has passed, ask the holder of another to stop.

    The same task otherwise.
    """
    if task.deadline_at is None or task.deadline_at > now_us:
        return task
    if task.state is State.QUEUED:
        return _end(task, Step.FAIL, now_us, Reason.EXPIRED)
    if task.state in (State.LEASED, State.RUNNING):
        return _ask_to_stop(task, now_us, Reason.TIMED_OUT, terms)
    return task


def _next(task: Live, step: Step) -> State:
    state = next_state(task.state, step)
    if state is None:
        raise NotPossible(task.task_id, task.state, f"changed by the step {step}")
    return state


def _end(task: Live, step: Step, now_us: int, reason: Reason | None) -> Live:
    return replace(
        task,
        state=_next(task, step),
        reason=reason,
        finished_at=now_us,
        lease_expires_at=None,
        not_before=None,
        delayed=0,
    )


def _try_again(task: Live, now_us: int, reason: Reason, jitter: float, terms: Terms) -> Live:
    pause = backoff_us(task.attempt, base_us=terms.retry_base_us, cap_us=terms.retry_cap_us, jitter=jitter)
    return replace(
        task,
        state=_next(task, Step.RETRY),
        reason=reason,
        not_before=now_us + pause,
        delayed=1,
        lease_expires_at=None,
    )


def _give_back(task: Live, reason: Reason, not_before: int | None) -> Live:
    return replace(
        task,
        state=_next(task, Step.GIVE_BACK),
        reason=reason,
        attempt=task.attempt - 1,
        not_before=not_before,
        delayed=0 if not_before is None else 1,
        lease_expires_at=None,
        started_at=None,
    )


def _ask_to_stop(task: Live, now_us: int, reason: Reason, terms: Terms) -> Live:
    return replace(
        task,
        state=_next(task, Step.ASK_TO_STOP),
        reason=reason,
        cancel_requested_at=now_us,
        lease_expires_at=now_us + terms.stop_us,
    )
