"""Instants as the interface writes and reads them: ISO 8601, UTC, microseconds."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def iso(instant_us: int) -> str:
    """Write an instant."""
    return (EPOCH + timedelta(microseconds=instant_us)).isoformat(timespec="microseconds")


def iso_or_none(instant_us: int | None) -> str | None:
    """Write an instant that may be missing."""
    return None if instant_us is None else iso(instant_us)


def microseconds(instant: datetime | None) -> int | None:
    """Read an instant that may be missing; one without a zone is taken as UTC."""
    if instant is None:
        return None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND
