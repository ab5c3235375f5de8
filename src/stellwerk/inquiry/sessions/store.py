"""The SQL of sessions. Evidence is kept beside the record: it is large, and rarely read."""

from collections.abc import Sequence

import msgspec

from stellwerk.database.unit import Sql, Unit, Value
from stellwerk.inquiry.sessions.session import Session

_SESSION = msgspec.json.Decoder(Session)


class Ended(Exception):
    """Somebody has ended the session; what its run wanted to write is dropped."""


def insert(session: Session) -> Unit[None]:
    """Record a session before anything is done for it."""
    yield Sql(
        "INSERT INTO investigations (session_id, state, principal, target, cause_key, requested_at,"
        " finished_at, record) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (
            session.id,
            session.state.value,
            session.by,
            target_key(session),
            session.signal.labels.get("cause"),
            session.requested_at,
            session.finished_at,
            _text(session),
        ),
    )


def update(session: Session, evidence: bytes | None = None) -> Unit[None]:
    """Write how far a session is, and its evidence if there is any new. Raises Ended."""
    rows = yield Sql(
        "UPDATE investigations SET state = $2, finished_at = $3, record = $4,"
        " evidence = COALESCE($5, evidence) WHERE session_id = $1 AND finished_at IS NULL RETURNING 1",
        (session.id, session.state.value, session.finished_at, _text(session), evidence),
    )
    if not rows:
        raise Ended(session.id)


def end(session_id: str, now_us: int) -> Unit[Session | None]:
    """Mark a session as ended and return its record as it was; None if it has ended, or nobody knows it."""
    rows = yield Sql(
        "UPDATE investigations SET finished_at = $2 WHERE session_id = $1 AND finished_at IS NULL"
        " RETURNING record",
        (session_id, now_us),
    )
    return _SESSION.decode(rows[0][0]) if rows else None


def put_ended(session: Session) -> Unit[None]:
    """Write the record of a session that this unit has marked as ended."""
    yield Sql(
        "UPDATE investigations SET state = $2, record = $3 WHERE session_id = $1",
        (session.id, session.state.value, _text(session)),
    )


def read(session_id: str) -> Unit[Session | None]:
    """Return a session; None if nobody knows it."""
    rows = yield Sql("SELECT record FROM investigations WHERE session_id = $1", (session_id,))
    return _SESSION.decode(rows[0][0]) if rows else None


def read_evidence(session_id: str) -> Unit[bytes | None]:
    """Return the packed evidence of a session; None while there is none."""
    rows = yield Sql("SELECT evidence FROM investigations WHERE session_id = $1", (session_id,))
    return bytes(rows[0][0]) if rows and rows[0][0] is not None else None


def open_sessions() -> Unit[list[Session]]:
    """List those that have not ended, oldest first."""
    rows = yield Sql(
        "SELECT record FROM investigations WHERE finished_at IS NULL ORDER BY requested_at, session_id"
    )
    return [_SESSION.decode(row[0]) for row in rows]


def count_open() -> Unit[int]:
    """Count those that have not ended."""
    rows = yield Sql("SELECT count(*) FROM investigations WHERE finished_at IS NULL")
    return int(rows[0][0])


def newest(
    limit: int, target: str | None = None, principals: Sequence[str] | None = None
) -> Unit[list[Session]]:
    """List sessions, newest first; of one target, or of all; of these principals, or of all."""
    values: list[Value] = [limit]
    conditions = []
    if target is not None:
        values.append(target)
        conditions.append(f"target = ${len(values)}")
    if principals is not None:
        places = range(len(values) + 1, len(values) + len(principals) + 1)
        values += principals
        conditions.append(f"principal IN ({', '.join(f'${place}' for place in places)})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = yield Sql(
        f"SELECT record FROM investigations{where} ORDER BY requested_at DESC, session_id DESC LIMIT $1",
        tuple(values),
    )
    return [_SESSION.decode(row[0]) for row in rows]


def opened_for(cause_key: str, since_us: int) -> Unit[str | None]:
    """Return the newest session that was opened for a cause since then; None if there is none."""
    rows = yield Sql(
        "SELECT session_id FROM investigations WHERE cause_key = $1 AND requested_at >= $2"
        " ORDER BY requested_at DESC LIMIT 1",
        (cause_key, since_us),
    )
    return str(rows[0][0]) if rows else None


def remove_older(before_us: int, limit: int) -> Unit[Sequence[str]]:
    """Remove sessions that ended before that instant, with their evidence; return their ids."""
    rows = yield Sql(
        "DELETE FROM investigations WHERE session_id IN (SELECT session_id FROM investigations"
        " WHERE finished_at < $1 ORDER BY finished_at LIMIT $2) RETURNING session_id",
        (before_us, limit),
    )
    return [str(row[0]) for row in rows]


def target_key(session: Session) -> str:
    """Name a session's target: `namespace/Kind/name`."""
    one = session.target.object
    return f"{one.namespace}/{one.kind}/{one.name}"


def _text(session: Session) -> str:
    return msgspec.json.encode(session).decode()
