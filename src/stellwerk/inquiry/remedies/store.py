"""The SQL of remedies, and of workflows that were added through the API."""

from collections.abc import Sequence

import msgspec

from stellwerk.database.unit import Sql, Unit
from stellwerk.inquiry.model import ObjectRef
from stellwerk.inquiry.remedies.remedy import Remedy, RemedyState
from stellwerk.inquiry.remedies.workflow import Workflow

_REMEDY = msgspec.json.Decoder(Remedy)
_WORKFLOW = msgspec.json.Decoder(Workflow)


class Moved(Exception):
    """The remedy is no longer in the state that a change assumes."""


def insert(remedy: Remedy) -> Unit[None]:
    """Record a remedy before anything is done."""
    yield Sql(
        "INSERT INTO remedies (remedy_id, session_id, workflow_id, cause, target, state, requested_at,"
        " finished_at, record) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        (
            remedy.id,
            remedy.session,
            remedy.choice.workflow_id,
            remedy.cause,
            target_key(remedy.target),
            remedy.state.value,
            remedy.requested_at,
            remedy.finished_at,
            _text(remedy),
        ),
    )


def update(remedy: Remedy, *, was: RemedyState) -> Unit[None]:
    """Write how far a remedy is. Raises Moved if it is not as it was."""
    rows = yield Sql(
        "UPDATE remedies SET state = $3, finished_at = $4, record = $5"
        " WHERE remedy_id = $1 AND state = $2 RETURNING 1",
        (remedy.id, was.value, remedy.state.value, remedy.finished_at, _text(remedy)),
    )
    if not rows:
        raise Moved(remedy.id)


def read(remedy_id: str) -> Unit[Remedy | None]:
    """Return a remedy; None if nobody knows it."""
    rows = yield Sql("SELECT record FROM remedies WHERE remedy_id = $1", (remedy_id,))
    return _REMEDY.decode(rows[0][0]) if rows else None


def of_session(session_id: str) -> Unit[list[Remedy]]:
    """List the remedies of a session, newest first."""
    rows = yield Sql(
        "SELECT record FROM remedies WHERE session_id = $1 ORDER BY requested_at DESC, remedy_id",
        (session_id,),
    )
    return [_REMEDY.decode(row[0]) for row in rows]


def open_remedies() -> Unit[list[Remedy]]:
    """List those that have not ended, oldest first."""
    rows = yield Sql("SELECT record FROM remedies WHERE finished_at IS NULL ORDER BY requested_at, remedy_id")
    return [_REMEDY.decode(row[0]) for row in rows]


def open_on(target: ObjectRef) -> Unit[str | None]:
    """Return a remedy of a target that has not ended; None if there is none."""
    rows = yield Sql(
        "SELECT remedy_id FROM remedies WHERE target = $1 AND finished_at IS NULL", (target_key(target),)
    )
    return str(rows[0][0]) if rows else None


def tried(cause: str, limit: int) -> Unit[list[Remedy]]:
    """List the last remedies of a cause that were carried out, newest first."""
    rows = yield Sql(
        "SELECT record FROM remedies WHERE cause = $1 AND state IN ('succeeded', 'failed')"
        " ORDER BY requested_at DESC LIMIT $2",
        (cause, limit),
    )
    return [_REMEDY.decode(row[0]) for row in rows]


def remove_of(sessions: Sequence[str]) -> Unit[None]:
    """Remove what belongs to sessions that are removed."""
    for session in sessions:
        yield Sql("DELETE FROM remedies WHERE session_id = $1", (session,))


def put_workflow(workflow: Workflow, now_us: int, by: str) -> Unit[None]:
    """Add a workflow, or replace it."""
    yield Sql(
        "INSERT INTO remedy_workflows (workflow_id, changed_at, changed_by, record) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (workflow_id) DO UPDATE SET changed_at = excluded.changed_at,"
        " changed_by = excluded.changed_by, record = excluded.record",
        (workflow.id, now_us, by, msgspec.json.encode(workflow).decode()),
    )


def remove_workflow(workflow_id: str) -> Unit[bool]:
    """Remove a workflow that was added; False if there is none."""
    rows = yield Sql("DELETE FROM remedy_workflows WHERE workflow_id = $1 RETURNING 1", (workflow_id,))
    return bool(rows)


def workflows() -> Unit[list[Workflow]]:
    """List the workflows that were added."""
    rows = yield Sql("SELECT record FROM remedy_workflows ORDER BY workflow_id")
    return [_WORKFLOW.decode(row[0]) for row in rows]


def target_key(target: ObjectRef) -> str:
    """Name a target: `namespace/Kind/name`."""
    return f"{target.namespace}/{target.kind}/{target.name}"


def _text(remedy: Remedy) -> str:
    return msgspec.json.encode(remedy).decode()
