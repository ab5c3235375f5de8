"""The SQL of connector tokens."""

import msgspec

from stellwerk.database.unit import Many, Row, Sql, Unit
from stellwerk.trust.connectors.capabilities import Capability
from stellwerk.trust.connectors.tokens import ConnectorToken

_COLUMNS = """
token_id, name, secret_hash, capabilities, agents, created_at, created_by, expires_at, last_used_at,
revoked_at"""
_INSERT = f"""
INSERT INTO connector_tokens ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"""
_REVOKE = """
UPDATE connector_tokens SET revoked_at = $2 WHERE token_id = $1 AND revoked_at IS NULL RETURNING token_id"""
_TOUCH = """
UPDATE connector_tokens SET last_used_at = $2
WHERE token_id = $1 AND (last_used_at IS NULL OR last_used_at < $2)"""


def insert_token(token: ConnectorToken) -> Unit[None]:
    """Add a token."""
    yield Sql(
        _INSERT,
        (
            token.token_id,
            token.name,
            token.secret_hash,
            _json(token.capabilities),
            None if token.agents is None else _json(token.agents),
            token.created_at,
            token.created_by,
            token.expires_at,
            token.last_used_at,
            token.revoked_at,
        ),
    )


def all_tokens() -> Unit[list[ConnectorToken]]:
    """Read every token, revoked ones included, oldest first."""
    rows = yield Sql(f"SELECT {_COLUMNS} FROM connector_tokens ORDER BY created_at, token_id")
    return [_token(row) for row in rows]


def revoke_token(token_id: str, now_us: int) -> Unit[bool]:
    """Revoke the token; False if it was revoked before or is unknown."""
    return bool((yield Sql(_REVOKE, (token_id, now_us))))


def touch_tokens(used_at: dict[str, int]) -> Unit[None]:
    """Record the last use of tokens; never moves back."""
    yield Many(_TOUCH, sorted(used_at.items()))


def _token(row: Row) -> ConnectorToken:
    # A capability that a newer release knows gives no right here, and must not keep the others from starting.
    capabilities = frozenset(Capability(text) for text in msgspec.json.decode(row[3]) if text in _KNOWN)
    agents = None if row[4] is None else frozenset(msgspec.json.decode(row[4], type=list[str]))
    return ConnectorToken(row[0], row[1], row[2], capabilities, agents, *row[5:])


def _json(values: frozenset[Capability] | frozenset[str]) -> str:
    return msgspec.json.encode(sorted(values)).decode()


_KNOWN = frozenset(one.value for one in Capability)
