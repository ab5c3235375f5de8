"""The SQL of registration tokens."""

from collections.abc import Sequence

import msgspec

from stellwerk.database.unit import Row, Sql, Unit
from stellwerk.trust.enrolment.tokens import RegistrationToken, TokenScope

_COLUMNS = """
token_id, name, capabilities, labels, replaces, created_at, created_by, expires_at, revoked_at, used_at,
used_by"""
_INSERT = f"""
INSERT INTO registration_tokens (token_hash, {_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, NULL, NULL, NULL)"""
_LIST = f"SELECT {_COLUMNS} FROM registration_tokens ORDER BY created_at DESC, token_id"
_READ = f"SELECT {_COLUMNS} FROM registration_tokens WHERE token_id = $1"
_FIND = f"SELECT {_COLUMNS}, key_hash FROM registration_tokens WHERE token_hash = $1"
# One statement decides and burns: of two at once the second waits for the first's row and finds it used.
_BURN = f"""
UPDATE registration_tokens SET used_at = $2, used_by = $3, key_hash = $4
WHERE token_hash = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $2
RETURNING {_COLUMNS}"""
_REVOKE = f"""
UPDATE registration_tokens SET revoked_at = $2
WHERE token_id = $1 AND revoked_at IS NULL AND used_at IS NULL
RETURNING {_COLUMNS}"""
_REMOVE = """
DELETE FROM registration_tokens WHERE token_id IN
(SELECT token_id FROM registration_tokens WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)
RETURNING token_id"""


def insert_token(token_hash: str, record: RegistrationToken) -> Unit[None]:
    """Add a token."""
    scope = record.scope
    yield Sql(
        _INSERT,
        (
            token_hash,
            record.token_id,
            scope.name,
            None if scope.capabilities is None else _json(scope.capabilities),
            _json(dict(scope.labels)),
            scope.replaces,
            record.created_at,
            record.created_by,
            record.expires_at,
        ),
    )


def list_tokens() -> Unit[list[RegistrationToken]]:
    """List all, newest first."""
    return [_record(row) for row in (yield Sql(_LIST))]


def read_token(token_id: str) -> Unit[RegistrationToken | None]:
    """Return a token by its id."""
    rows = yield Sql(_READ, (token_id,))
    return _record(rows[0]) if rows else None


def find_token(token_hash: str) -> Unit[tuple[RegistrationToken, str | None] | None]:
    """Return a token by its hash, with the hash of the key that it admitted."""
    rows = yield Sql(_FIND, (token_hash,))
    return (_record(rows[0]), rows[0][-1]) if rows else None


def burn_token(
    token_hash: str, agent_id: str, key_hash: str | None, now_us: int
) -> Unit[RegistrationToken | None]:
    """Use the token up for the agent; None if it is not there to be used."""
    rows = yield Sql(_BURN, (token_hash, now_us, agent_id, key_hash))
    return _record(rows[0]) if rows else None


def revoke_token(token_id: str, now_us: int) -> Unit[RegistrationToken | None]:
    """Revoke the token; None if it was revoked or used before, or is unknown."""
    rows = yield Sql(_REVOKE, (token_id, now_us))
    return _record(rows[0]) if rows else None


def remove_tokens(before: int, limit: int) -> Unit[int]:
    """Remove some tokens that expired before the instant; return how many."""
    return len((yield Sql(_REMOVE, (before, limit))))


def _record(row: Row) -> RegistrationToken:
    capabilities = None if row[2] is None else tuple(msgspec.json.decode(row[2], type=list[str]))
    scope = TokenScope(row[1], capabilities, msgspec.json.decode(row[3], type=dict[str, str]), row[4])
    return RegistrationToken(row[0], scope, *row[5:11])


def _json(value: Sequence[str] | dict[str, str]) -> str:
    return msgspec.json.encode(value).decode()
