"""The SQL of certificates.

Whatever changes an agent's certificates begins with `lock_agent`: its rows are locked in one order, so two
replicas that promote, renew or revoke at the same time do it one after the other and decide by what the other
has written.
"""

from dataclasses import replace

from stellwerk.database.unit import Many, PerEngine, Row, Sql, Unit
from stellwerk.trust.certificates.record import Record, State

_COLUMNS = """
serial, root, agent_id, key_hash, thumbprint, state, not_before, not_after, intended_at, activated_at,
superseded_at, revoked_at, reason, cloned_at, changed_at"""
_INSERT = f"""
INSERT INTO certificates ({_COLUMNS})
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"""
_LOCK = PerEngine(
    sqlite="SELECT 1 WHERE $1 IS NULL AND $2 IS NULL",  # One writer: nothing to lock.
    postgres="SELECT 1 FROM certificates WHERE agent_id = $1 AND not_after > $2 ORDER BY serial FOR UPDATE",
)
_LOCKED = f"SELECT {_COLUMNS} FROM certificates WHERE agent_id = $1 AND not_after > $2 ORDER BY serial"
_UPDATE = """
UPDATE certificates SET state = $2, activated_at = $3, superseded_at = $4, revoked_at = $5, reason = $6,
    cloned_at = $7, changed_at = $8
WHERE serial = $1"""
_FINISH = f"""
UPDATE certificates SET state = 'issued', thumbprint = $2, pem = $3, changed_at = $4
WHERE serial = $1 AND state = 'intended'
RETURNING {_COLUMNS}"""
_LIVE = f"SELECT {_COLUMNS} FROM certificates WHERE not_after > $1 AND state <> 'intended'"
_CHANGED = f"SELECT {_COLUMNS} FROM certificates WHERE changed_at >= $1 AND state <> 'intended'"
_READ = f"SELECT {_COLUMNS} FROM certificates WHERE serial = $1"
_OF_AGENT = f"SELECT {_COLUMNS} FROM certificates WHERE agent_id = $1 AND state <> 'intended'"
_PEM = "SELECT pem FROM certificates WHERE serial = $1"
_WAITING = f"SELECT pem, {_COLUMNS} FROM certificates WHERE serial = $1 AND state = 'issued'"
_USES_ROOT = "SELECT 1 FROM certificates WHERE root = $1 AND not_after > $2 AND state <> 'revoked' LIMIT 1"
_REMOVE = """
DELETE FROM certificates WHERE serial IN
(SELECT serial FROM certificates WHERE not_after < $1 ORDER BY not_after LIMIT $2)
RETURNING serial"""


def insert_intent(record: Record) -> Unit[None]:
    """Record a serial before anything is signed under it."""
    yield Sql(
        _INSERT,
        (
            record.serial,
            record.root,
            record.agent_id,
            record.key_hash,
            record.thumbprint,
            record.state.value,
            record.not_before,
            record.not_after,
            record.intended_at,
            record.activated_at,
            record.superseded_at,
            record.revoked_at,
            record.reason,
            record.cloned_at,
            record.changed_at,
        ),
    )


def record_issued(serial: str, thumbprint: str, pem: str, now_us: int) -> Unit[Record | None]:
    """Record what was signed; None if the intent was revoked meanwhile."""
    rows = yield Sql(_FINISH, (serial, thumbprint, pem, now_us))
    return _record(rows[0]) if rows else None


def lock_agent(agent_id: str, ends_after: int) -> Unit[list[Record]]:
    """Return the agent's certificates that end after the instant, and let nobody else change them."""
    yield Sql(_LOCK, (agent_id, ends_after))
    # Read only now: what the former holder of the locks inserted is not in the locking statement's snapshot.
    return [_record(row) for row in (yield Sql(_LOCKED, (agent_id, ends_after)))]


def update(records: list[Record], now_us: int) -> Unit[list[Record]]:
    """Write the states of locked records; return them as written."""
    written = [replace(record, changed_at=now_us) for record in records]
    if written:
        yield Many(_UPDATE, [_changeable(record) for record in written])
    return written


def read_live(now_us: int) -> Unit[list[Record]]:
    """Read every certificate that has been signed and has not ended."""
    return [_record(row) for row in (yield Sql(_LIVE, (now_us,)))]


def read_changed(since: int) -> Unit[list[Record]]:
    """Read what changed at or after the instant."""
    return [_record(row) for row in (yield Sql(_CHANGED, (since,)))]


def read_one(serial: str) -> Unit[Record | None]:
    """Read one certificate, ended ones included."""
    rows = yield Sql(_READ, (serial,))
    return _record(rows[0]) if rows else None


def read_agent(agent_id: str) -> Unit[list[Record]]:
    """Read every certificate of the agent that has been signed."""
    return [_record(row) for row in (yield Sql(_OF_AGENT, (agent_id,)))]


def read_pem(serial: str) -> Unit[str | None]:
    """Read the certificate itself; None if there is none."""
    rows = yield Sql(_PEM, (serial,))
    return rows[0][0] if rows else None


def read_waiting(serial: str) -> Unit[tuple[str, Record] | None]:
    """Read a certificate that waits for its first use; None if it does not."""
    rows = yield Sql(_WAITING, (serial,))
    return (rows[0][0], _record(rows[0][1:])) if rows else None


def root_in_use(root: str, ends_after: int) -> Unit[bool]:
    """Tell whether a certificate of this root ends after the instant."""
    return bool((yield Sql(_USES_ROOT, (root, ends_after))))


def remove_ended(before: int, limit: int) -> Unit[int]:
    """Remove some certificates that ended before the instant; return how many."""
    return len((yield Sql(_REMOVE, (before, limit))))


def _changeable(record: Record) -> tuple[str | int | None, ...]:
    return (
        record.serial,
        record.state.value,
        record.activated_at,
        record.superseded_at,
        record.revoked_at,
        record.reason,
        record.cloned_at,
        record.changed_at,
    )


def _record(row: Row) -> Record:
    serial, root, agent_id, key_hash, thumbprint, state, *rest = row
    return Record(serial, root, agent_id, key_hash, thumbprint, State(state), *rest)
