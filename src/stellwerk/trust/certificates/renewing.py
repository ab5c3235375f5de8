"""When a certificate is renewed, and when the answer given before is given again."""

from collections.abc import Sequence
from dataclasses import dataclass

from stellwerk.clock import MICROSECONDS
from stellwerk.trust.certificates.record import LIVE, Record, State

DUE = (2, 3)
"""Share of its life after which a certificate is renewed for an agent that sends a CSR (as step-ca and
Nomad do): a third is left for an outage."""
LAST = (23, 24)
"""Share after which it is renewed unasked, as the published interface says: the last hour of a day."""
PAUSE_US = 10 * MICROSECONDS
"""A new serial for an agent at most this often, whatever keys it sends."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Answer with a certificate that was issued before and has not been used."""

    serial: str


@dataclass(frozen=True, slots=True)
class Mint:
    """Issue a new certificate."""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Answer without a certificate: it is too early, or another answer is being made."""


def renewal_is_due(not_before: int, not_after: int, now_us: int, *, asked: bool) -> bool:
    """Tell whether enough of a certificate's life is over; `asked` means with a CSR."""
    part, whole = DUE if asked else LAST
    return (now_us - not_before) * whole >= (not_after - not_before) * part


def plan_renewal(
    records: Sequence[Record], serial: str, key_hash: str, now_us: int
) -> Repeat | Mint | NotNow:
    """Decide about a due renewal, over all records of the agent.

    A certificate that was issued for the same key and waits for its first use is answered again, so that a
    lost answer costs no serial. Only the current certificate renews, or one that expired unused.
    """
    presented = next((record for record in records if record.serial == serial), None)
    if presented is None or presented.state not in LIVE:
        return NotNow()
    waiting = [record for record in records if record.state in (State.INTENDED, State.ISSUED)]
    waiting = [record for record in waiting if record.serial != serial]
    for record in sorted(waiting, key=lambda each: each.intended_at, reverse=True):
        if record.state is State.ISSUED and record.key_hash == key_hash and not _is_old(record, now_us):
            return Repeat(record.serial)
    if any(record.intended_at + PAUSE_US > now_us for record in waiting):
        return NotNow()
    return Mint()


def _is_old(record: Record, now_us: int) -> bool:
    return renewal_is_due(record.not_before, record.not_after, now_us, asked=True)
