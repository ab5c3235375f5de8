"""The life of a task as one table: which step leads from which state to which.

A task waits (`queued`), is handed to a holder (`leased`), is worked on (`running`), is asked to stop
(`cancelling`), and ends (`succeeded`, `failed`, `cancelled`, `dead`). A step that the table does not name
is refused; guards that need more than the state (fences, attempts, instants) are in `lifecycle.py`.
"""

from enum import StrEnum


class State(StrEnum):
    """Where a task stands."""

    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


class Reason(StrEnum):
    """Why a task stands where it stands; not every state needs one."""

    RETRY = "retry"
    """Queued again after a failed attempt."""
    LOST = "lost"
    """Its holder was not heard of in time."""
    UNACKNOWLEDGED = "unacknowledged"
    """Queued again: it was delivered, but nobody confirmed it."""
    HANDED_BACK = "handed_back"
    """Queued again: its holder gave it back."""
    REQUEUED = "requeued"
    """Queued again by somebody."""
    ERROR = "error"
    """Its holder reported an error that is not to be retried."""
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    """Its last attempt failed."""
    EXPIRED = "expired"
    """Its deadline passed while it waited."""
    TIMED_OUT = "timed_out"
    """Its deadline or its running time passed while it was worked on."""
    REQUESTED = "requested"
    """Somebody cancelled it."""
    CLEARED = "cleared"
    """Its queue was cleared."""
    AGENT_REMOVED = "agent_removed"
    """It waited for one holder, which is gone for good."""


class Step(StrEnum):
    """What can happen to a task."""

    LEASE = "lease"
    ENTRUST = "entrust"
    """To a holder that is dialled: it runs from here, whoever had it before."""
    START = "start"
    GIVE_BACK = "give_back"
    """Hand back, acknowledgement deadline: back into the queue, the attempt does not count."""
    RETRY = "retry"
    """Back into the queue; the attempt counts."""
    SUCCEED = "succeed"
    FAIL = "fail"
    EXHAUST = "exhaust"
    """The attempt failed or was lost, and it was the last."""
    ASK_TO_STOP = "ask_to_stop"
    CANCEL = "cancel"
    CORRECT = "correct"
    """A result that came after its holder was given up, before anybody else got the task."""
    REQUEUE = "requeue"


ACTIVE = frozenset({State.LEASED, State.RUNNING, State.CANCELLING})
"""Somebody holds a lease."""
FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.DEAD})
"""Nothing more happens by itself."""

TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.QUEUED, Step.LEASE): State.LEASED,
    (State.QUEUED, Step.ENTRUST): State.RUNNING,
    (State.QUEUED, Step.CANCEL): State.CANCELLED,
    (State.QUEUED, Step.FAIL): State.FAILED,
    (State.QUEUED, Step.CORRECT): State.SUCCEEDED,
    (State.LEASED, Step.START): State.RUNNING,
    (State.LEASED, Step.GIVE_BACK): State.QUEUED,
    (State.LEASED, Step.RETRY): State.QUEUED,
    (State.LEASED, Step.SUCCEED): State.SUCCEEDED,
    (State.LEASED, Step.FAIL): State.FAILED,
    (State.LEASED, Step.EXHAUST): State.DEAD,
    (State.LEASED, Step.ASK_TO_STOP): State.CANCELLING,
    (State.RUNNING, Step.ENTRUST): State.RUNNING,
    (State.RUNNING, Step.GIVE_BACK): State.QUEUED,
    (State.RUNNING, Step.RETRY): State.QUEUED,
    (State.RUNNING, Step.SUCCEED): State.SUCCEEDED,
    (State.RUNNING, Step.FAIL): State.FAILED,
    (State.RUNNING, Step.EXHAUST): State.DEAD,
    (State.RUNNING, Step.ASK_TO_STOP): State.CANCELLING,
    (State.CANCELLING, Step.SUCCEED): State.SUCCEEDED,
    (State.CANCELLING, Step.FAIL): State.FAILED,
    (State.CANCELLING, Step.CANCEL): State.CANCELLED,
    (State.FAILED, Step.CORRECT): State.SUCCEEDED,
    (State.FAILED, Step.REQUEUE): State.QUEUED,
    (State.DEAD, Step.CORRECT): State.SUCCEEDED,
    (State.DEAD, Step.REQUEUE): State.QUEUED,
    (State.CANCELLED, Step.REQUEUE): State.QUEUED,
}


def next_state(state: State, step: Step) -> State | None:
    """Return where the step leads; None means that it is not possible from here."""
    return TRANSITIONS.get((state, step))
