"""The SQL of secrets."""

from collections.abc import Callable
from dataclasses import dataclass

from stellwerk.database.unit import Sql, Unit

_VERSION = "SELECT version FROM secrets WHERE name = $1"
_PUT = """
INSERT INTO secrets (name, version, sealed, created_at, updated_at, updated_by)
VALUES ($1, $2, $3, $4, $4, $5)
ON CONFLICT (name) DO UPDATE
SET version = excluded.version, sealed = excluded.sealed, updated_at = excluded.updated_at,
    updated_by = excluded.updated_by
WHERE secrets.version = excluded.version - 1
RETURNING version"""
_LIST = "SELECT name, version, created_at, updated_at, updated_by FROM secrets ORDER BY name"
_READ = "SELECT version, sealed FROM secrets WHERE name = $1"
_DELETE = "DELETE FROM secrets WHERE name = $1 RETURNING name"


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """What may be known of a secret: everything but its value."""

    name: str
    version: int
    """Grows by one with every change."""
    created_at: int
    updated_at: int
    updated_by: str


class ChangedMeanwhile(Exception):
    """Somebody else wrote the same secret at the same time."""


def put_secret(name: str, sealed: Callable[[int], bytes], by: str, now_us: int) -> Unit[int]:
    """Write the next version, sealed for its number; return the number. Raises ChangedMeanwhile."""
    rows = yield Sql(_VERSION, (name,))
    version = rows[0][0] + 1 if rows else 1
    written = yield Sql(_PUT, (name, version, sealed(version), now_us, by))
    if not written:
        raise ChangedMeanwhile(name)
    return int(version)


def list_secrets() -> Unit[list[SecretRecord]]:
    """List all, by name."""
    rows = yield Sql(_LIST)
    return [SecretRecord(*row) for row in rows]


def read_secret(name: str) -> Unit[tuple[int, bytes] | None]:
    """Return version and sealed value, None if there is no such secret."""
    rows = yield Sql(_READ, (name,))
    return (rows[0][0], bytes(rows[0][1])) if rows else None


def delete_secret(name: str) -> Unit[bool]:
    """Remove a secret; False if there was none."""
    return bool((yield Sql(_DELETE, (name,))))
