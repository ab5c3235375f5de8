"""How long leases last."""

import msgspec

from stellwerk.clock import MICROSECONDS
from stellwerk.settings import WorkSettings


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """The time limits of leases and the limits of retries, in microseconds."""

    acknowledge_us: int
    """A delivered task must be started within this."""
    running_us: int
    """A running lease ends after this without renewal."""
    stop_us: int
    """A holder that was asked to stop has this long to confirm."""
    grace_us: int
    """Running leases stay this long with a holder whose connection broke."""
    retry_base_us: int
    retry_cap_us: int
    max_attempts: int


def terms_of(settings: WorkSettings) -> Terms:
    """Return the terms that the settings name."""
    return Terms(
        acknowledge_us=int(settings.ack_deadline_s * MICROSECONDS),
        running_us=int(settings.lease_s * MICROSECONDS),
        # As long as a lease: a holder that is alive may need a while to clean up, a dead one is not waited
        # for longer.
        stop_us=int(settings.lease_s * MICROSECONDS),
        grace_us=int(settings.reconnect_grace_s * MICROSECONDS),
        retry_base_us=int(settings.retry_base_s * MICROSECONDS),
        retry_cap_us=int(settings.retry_cap_s * MICROSECONDS),
        max_attempts=settings.max_attempts,
    )


def running_until(now_us: int, started_at: int, timeout_us: int | None, terms: Terms) -> int:
    """Return when a lease that is renewed now ends: never past the longest running time of the attempt.

    So the sweep of expired leases finds attempts that run too long as well, without an index of its own.
    """
    until = now_us + terms.running_us
    return until if timeout_us is None else min(until, started_at + timeout_us)
