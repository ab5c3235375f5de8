"""A remedy that somebody asked for, as it is recorded.

Theory of operation. A remedy is *waiting* for approval, or *approved*; it is *running* from the moment at
which the intent is recorded, then *verifying* whether the target's health returns, and ends *succeeded* or
*failed*. Without approval it ends *rejected* or *expired*. Carrying out is idempotent under the remedy's id,
so one that was cut off is simply carried out again.
"""

from enum import StrEnum

import msgspec

from stellwerk.inquiry.model import ObjectRef
from stellwerk.inquiry.remedies.choice import Choice


class RemedyState(StrEnum):
    """Where a remedy is. The last four are ends."""

    WAITING = "waiting"
    APPROVED = "approved"
    RUNNING = "running"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"


ENDS = frozenset({RemedyState.SUCCEEDED, RemedyState.FAILED, RemedyState.REJECTED, RemedyState.EXPIRED})


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """One remedy, as it is at one time."""

    id: str
    session: str
    cause: str
    target: ObjectRef
    choice: Choice
    environment: str
    by: str
    requested_at: int
    """Microseconds UTC, as all instants."""
    state: RemedyState
    needs_approval: str | None = None
    """Why it needs approval; None if it needs none."""
    decided_by: str | None = None
    decided_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    operation: str | None = None
    """The operation, or task, that carries it out."""
    message: str = ""
    """What was done, or why it did not work."""
    healthy: bool | None = None
    """Whether the health returned; None while nobody looked."""

    @property
    def ended(self) -> bool:
        """Tell whether nothing more happens to it."""
        return self.state in ENDS


class UnknownRemedy(LookupError):
    """No remedy has this id, or not for this caller."""


class UnknownWorkflow(LookupError):
    """The catalogue has no such workflow."""


class CannotRemedy(Exception):
    """The remedy cannot be carried out as things are; `code` is a word for programs."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class MayNotApprove(Exception):
    """The caller may not decide about this remedy."""


class AlreadyDecided(Exception):
    """Somebody has decided about the remedy, or it needs no decision."""
