"""The record of an issued certificate, and the states it goes through.

    intended -> issued -> active -> superseded
        \\--------\\--------\\----------\\----> revoked

*intended*: the serial is recorded, nothing is signed yet, nobody has it. *issued*: signed and recorded; its
first use makes it *active* and the one before it *superseded*. A state only ever moves to the right, so of
two readings of one record the one further right is the newer. *expired* is never stored: it follows from the
time.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a certificate stands; see the module."""

    INTENDED = "intended"
    ISSUED = "issued"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    EXPIRED = "expired"


RANK = {state: rank for rank, state in enumerate(State)}
LIVE = frozenset({State.ISSUED, State.ACTIVE})
"""States of a certificate that its agent goes on with; a superseded one only finishes what is under way."""


@dataclass(frozen=True, slots=True)
class Record:
    """One certificate as recorded. Instants are microseconds UTC."""

    serial: str
    """Lower-case hex without leading zeros."""
    root: str
    """Fingerprint of the root that signed it."""
    agent_id: str
    key_hash: str
    """SHA-256 of its public key."""
    thumbprint: str | None
    """SHA-256 of the certificate, base64url, as `x5t#S256` (RFC 8705); None while only intended."""
    state: State
    not_before: int
    not_after: int
    intended_at: int
    activated_at: int | None = None
    superseded_at: int | None = None
    revoked_at: int | None = None
    reason: str | None = None
    """Why it was revoked."""
    cloned_at: int | None = None
    """When it was last presented although long superseded: two hold one key."""
    changed_at: int = 0


def state_at(record: Record, now_us: int) -> State:
    """Return the state with the time looked at: a revoked certificate stays revoked, others expire."""
    if record.state is not State.REVOKED and record.not_after <= now_us:
        return State.EXPIRED
    return record.state


def newer(known: Record | None, read: Record) -> Record:
    """Return the newer of two readings of one record, however late a snapshot arrives."""
    if known is None or RANK[read.state] > RANK[known.state]:
        return read
    return read if read.state is known.state and read.changed_at >= known.changed_at else known
