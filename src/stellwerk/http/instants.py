"""Instants as the interfaces write and read them: RFC 3339 with microseconds and offset."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from stellwerk.http.problem import Problem
from stellwerk.http.texts import END

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# Without `format`, which would demand the offset. Leap days are read, but no pattern tells in which years.
_SCHEMA = {
    "type": "string",
    "description": "RFC 3339; without an offset it is UTC.",
    "pattern": r"^(19|20)[0-9]{2}-"
    r"((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])?" + END,
    "examples": ["2026-11-21T21:43:43.666595+00:00"],
}

Moment = Annotated[datetime, Meta(extra_json_schema={"x-replace": _SCHEMA})]
"""An instant as it is sent; without an offset it is UTC."""
MomentText = Annotated[str, Meta(extra_json_schema={"x-replace": _SCHEMA})]
"""The same in a query, where `microseconds_of` reads it: the lenient conversion would take numbers, too."""
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""An instant as it is written: `2026-11-21T21:43:43.666595+00:00`."""


def iso(instant_us: int) -> str:
    """Write an instant."""
    second, fraction = divmod(instant_us, 1_000_000)
    return f"{_second(second)}.{fraction:06d}+00:00"


@lru_cache(256)
def _second(second: int) -> str:
    # Kept, because the answers of one second have most of their instants in it.
    return (EPOCH + timedelta(seconds=second)).isoformat()[:19]


def iso_or_none(instant_us: int | None) -> str | None:
    """Write an instant that may be missing."""
    return None if instant_us is None else iso(instant_us)


def microseconds(instant: datetime) -> int:
    """Read an instant; one without an offset is UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def microseconds_or_none(instant: datetime | None) -> int | None:
    """Read an instant that may be missing."""
    return None if instant is None else microseconds(instant)


def microseconds_of(text: str | None) -> int | None:
    """Read an instant of a query. Raises Problem."""
    try:
        return None if text is None else microseconds(msgspec.convert(text, datetime))
    except msgspec.ValidationError:
        raise Problem.invalid("An instant of the query is not as RFC 3339 wants it") from None
