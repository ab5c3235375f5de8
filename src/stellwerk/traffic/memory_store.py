"""The SQL of the agents' memory."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stellwerk.database.unit import Row, Sql, Unit

_COLUMNS = "scope, scope_id, key, value, created_at, updated_at, updated_by"
_PLACE = "scope = $1 AND scope_id = $2 AND key = $3"
_READ = f"SELECT {_COLUMNS} FROM memory WHERE {_PLACE}"
_COUNT = "SELECT COUNT(*) FROM (SELECT 1 FROM memory WHERE scope = $1 AND scope_id = $2 LIMIT $3) AS counted"
_PUT = f"""
INSERT INTO memory ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $5, $6)
ON CONFLICT (scope, scope_id, key) DO UPDATE
SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by
RETURNING {_COLUMNS}"""
_DELETE = f"DELETE FROM memory WHERE {_PLACE} RETURNING key"
_LIST = """
SELECT scope, scope_id, key, '', created_at, updated_at, updated_by
FROM memory WHERE scope = $1 AND scope_id = $2 AND key > $3 ORDER BY key LIMIT $4"""


class Place(NamedTuple):
    """Where values are kept: a scope, and which one of its kind."""

    scope: str
    scope_id: str


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """A value; `value` is JSON text, empty in lists. Instants are microseconds UTC."""

    scope: str
    scope_id: str
    key: str
    value: str
    created_at: int
    updated_at: int
    updated_by: str


class MemoryFull(Exception):
    """A place holds as many keys as it may."""

    def __init__(self, place: Place, limit: int) -> None:
        super().__init__(f"The scope {place.scope} {place.scope_id!r} holds {limit} keys already")


def put(place: Place, key: str, value: str, *, by: str, now_us: int, limit: int) -> Unit[Remembered]:
    """Set a value. Raises MemoryFull for a new key past the limit."""
    known = yield Sql(_READ, (*place, key))
    if not known:
        rows = yield Sql(_COUNT, (*place, limit))
        if rows[0][0] >= limit:
            raise MemoryFull(place, limit)
    rows = yield Sql(_PUT, (*place, key, value, now_us, by))
    return _remembered(rows[0])


def find(places: Sequence[Place], key: str) -> Unit[Remembered | None]:
    """Read a value from the first place that has the key."""
    for place in places:
        rows = yield Sql(_READ, (*place, key))
        if rows:
            return _remembered(rows[0])
    return None


def delete(place: Place, key: str) -> Unit[bool]:
    """Forget a value; False if there was none."""
    return bool((yield Sql(_DELETE, (*place, key))))


def list_keys(place: Place, after: str, limit: int) -> Unit[list[Remembered]]:
    """List a place in order of its keys, without the values."""
    rows = yield Sql(_LIST, (*place, after, limit))
    return [_remembered(row) for row in rows]


def _remembered(row: Row) -> Remembered:
    return Remembered(*row)
