"""The SQL of API keys."""

import msgspec

from stellwerk.database.unit import Many, Row, Sql, Unit
from stellwerk.trust.keys import Key
from stellwerk.trust.scopes import Scope

_COLUMNS = "key_id, name, secret_hash, scopes, created_at, expires_at, last_used_at, revoked_at, created_by"
_INSERT = f"""
INSERT INTO api_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (key_id) DO NOTHING RETURNING key_id"""
_REVOKE = """
UPDATE api_keys SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL RETURNING key_id"""
_TOUCH = """
UPDATE api_keys SET last_used_at = $2 WHERE key_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)"""


def insert_key(key: Key) -> Unit[bool]:
    """Add the key; False if its id is taken."""
    rows = yield Sql(
        _INSERT,
        (
            key.key_id,
            key.name,
            key.secret_hash,
            msgspec.json.encode(sorted(key.scopes)).decode(),
            key.created_at,
            key.expires_at,
            key.last_used_at,
            key.revoked_at,
            key.created_by,
        ),
    )
    return bool(rows)


def all_keys() -> Unit[list[Key]]:
    """Read every key, revoked ones included, oldest first."""
    rows = yield Sql(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_at, key_id")
    return [_key(row) for row in rows]


def revoke_key(key_id: str, now_us: int) -> Unit[bool]:
    """Revoke the key; False if it was revoked before or is unknown."""
    rows = yield Sql(_REVOKE, (key_id, now_us))
    return bool(rows)


def touch_keys(used_at: dict[str, int]) -> Unit[None]:
    """Record the last use of keys; never moves back."""
    yield Many(_TOUCH, sorted(used_at.items()))


def _key(row: Row) -> Key:
    return Key(
        key_id=row[0],
        name=row[1],
        secret_hash=row[2],
        # A scope that a newer release knows gives no right here, and must not keep the others from starting.
        scopes=frozenset(Scope(text) for text in msgspec.json.decode(row[3]) if text in _KNOWN),
        created_at=row[4],
        expires_at=row[5],
        last_used_at=row[6],
        revoked_at=row[7],
        created_by=row[8],
    )


_KNOWN = frozenset(scope.value for scope in Scope)
