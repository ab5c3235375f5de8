"""One investigation as it is recorded.

Theory of operation. A session goes through phases, and the last one that it has stored is where it goes on
after a restart: *collect* (nothing is stored yet), *conclude* (the evidence is stored), *reason* (the
conclusion is stored, and a model is asked), *choose* (what the model said of the cause is stored, too),
*advise* (what fits is stored, and a model is asked), *done*. Without a model there is neither *reason* nor
*advise*. What a phase gives is stored before the next one uses it, so what a result says can be traced to
evidence that was really there. A session is ended by whoever comes first: its run, somebody who cancels it,
or its time; the end is one guarded write, and what comes after it is dropped.
"""

from enum import StrEnum

import msgspec

from stellwerk.inquiry.model import Conclusion, Spent, Target
from stellwerk.inquiry.reasoning.opinion import Advice, Opinion, Usage
from stellwerk.inquiry.remedies.choice import Chosen

MOST_ATTEMPTS = 5
"""Runs of one session; one that ends its process each time must not be begun for ever."""


class SessionState(StrEnum):
    """Where a session is. The last three are ends."""

    PENDING = "pending"
    INVESTIGATING = "investigating"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = frozenset({SessionState.COMPLETED, SessionState.FAILED, SessionState.CANCELLED})


class Phase(StrEnum):
    """What a session does next."""

    COLLECT = "collect"
    CONCLUDE = "conclude"
    REASON = "reason"
    CHOOSE = "choose"
    ADVISE = "advise"
    DONE = "done"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """What the request says beside the target. Kept for the record and the answer; it proves nothing."""

    incident_id: str
    remediation_id: str = ""
    """For correlation only."""
    severity: str = "unknown"
    source: str = ""
    labels: dict[str, str] = {}
    """Business words and the labels of the alert, for the record."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One investigation, as it is at one time."""

    id: str
    target: Target
    signal: Signal
    by: str
    """Id of the principal that asked for it."""
    automatic: bool = False
    """Opened by ourselves, because a service became unhealthy."""
    requested_at: int
    """Microseconds UTC, as all instants."""
    cursor: str = ""
    """Of the journal, from before the session began: where its events are read from."""
    state: SessionState = SessionState.PENDING
    phase: Phase = Phase.COLLECT
    progress: str = "Waiting to begin"
    started_at: int | None = None
    finished_at: int | None = None
    attempt: int = 0
    """How often it was begun: more than once if a process died."""
    error: str | None = None
    cancelled_by: str | None = None
    spent: Spent = Spent()
    conclusion: Conclusion | None = None
    chosen: Chosen | None = None
    usage: Usage | None = None
    """What the model has cost; None where none was asked."""
    cost: float | None = None
    """In the currency of the settings; None where no price is set."""
    opinion: Opinion | None = None
    advice: Advice | None = None

    @property
    def ended(self) -> bool:
        """Tell whether nothing more happens to it."""
        return self.state in ENDS


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be investigated."""

    target: Target
    signal: Signal


class UnknownSession(LookupError):
    """No session has this id, or not for this caller."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} not found")
        self.session_id = session_id


class AtCapacity(Exception):
    """As many investigations are under way as are allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} investigations are under way, and no more are allowed at a time")
        self.retry_after_s = 1.0


class AlreadyEnded(Exception):
    """The session has ended, so it cannot be cancelled."""

    def __init__(self, session: Session) -> None:
        super().__init__(f"session {session.id} is {session.state}")
        self.session = session


class NotEnded(Exception):
    """The session has not come to its result."""

    def __init__(self, session: Session) -> None:
        super().__init__(f"session {session.id} is {session.state}")
        self.session = session
