"""The SQL of restarts."""

import msgspec

from stellwerk.database.unit import Row, Sql, Unit
from stellwerk.traffic.restart import Restart, RestartState, Step

_COLUMNS = """
restart_id, group_id, version, state, detail, steps, known, requested_by, requested_at, deadline_at,
finished_at, revision"""
# Of two at once one fails on the index of open restarts, and then finds the other's.
_INSERT = f"""
INSERT INTO restarts ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT DO NOTHING RETURNING restart_id"""
_UPDATE = """
UPDATE restarts SET state = $3, detail = $4, steps = $5, deadline_at = $6, finished_at = $7, revision = $2 + 1
WHERE restart_id = $1 AND revision = $2 RETURNING restart_id"""
_READ = f"SELECT {_COLUMNS} FROM restarts WHERE restart_id = $1"
_OPEN = f"SELECT {_COLUMNS} FROM restarts WHERE finished_at IS NULL ORDER BY requested_at"
_OF_GROUP = f"""
SELECT {_COLUMNS} FROM restarts WHERE group_id = $1 ORDER BY requested_at DESC, restart_id LIMIT $2"""
_STEPS = msgspec.json.Decoder(tuple[Step, ...])
_NAMES = msgspec.json.Decoder(tuple[str, ...])


def insert_restart(restart: Restart) -> Unit[bool]:
    """Add a restart; False while another of its agent is under way."""
    return bool(
        (
            yield Sql(
                _INSERT,
                (
                    restart.restart_id,
                    restart.group,
                    restart.version,
                    restart.state.value,
                    restart.detail,
                    _json(restart.steps),
                    _json(restart.known),
                    restart.requested_by,
                    restart.requested_at,
                    restart.deadline_at,
                    restart.finished_at,
                    restart.revision,
                ),
            )
        )
    )


def update_restart(revision: int, restart: Restart) -> Unit[bool]:
    """Write a restart's next state over the revision that it was made of; False if somebody was first."""
    parameters = (
        restart.restart_id,
        revision,
        restart.state.value,
        restart.detail,
        _json(restart.steps),
        restart.deadline_at,
        restart.finished_at,
    )
    return bool((yield Sql(_UPDATE, parameters)))


def read_restart(restart_id: str) -> Unit[Restart | None]:
    """Return a restart by its id."""
    rows = yield Sql(_READ, (restart_id,))
    return _restart(rows[0]) if rows else None


def open_restarts() -> Unit[list[Restart]]:
    """List those that have not ended, oldest first."""
    return [_restart(row) for row in (yield Sql(_OPEN))]


def restarts_of(group: str, limit: int) -> Unit[list[Restart]]:
    """List the restarts of an agent, newest first."""
    return [_restart(row) for row in (yield Sql(_OF_GROUP, (group, limit)))]


def _restart(row: Row) -> Restart:
    return Restart(
        restart_id=row[0],
        group=row[1],
        version=row[2],
        state=RestartState(row[3]),
        detail=row[4],
        steps=_STEPS.decode(row[5]),
        known=_NAMES.decode(row[6]),
        requested_by=row[7],
        requested_at=row[8],
        deadline_at=row[9],
        finished_at=row[10],
        revision=row[11],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
