"""Traffic's SQL, as units of work: executions beside their tasks, and options of agents."""

import json
from collections.abc import Mapping, Sequence

import msgspec

from stellwerk.database.unit import Many, PerEngine, Row, Sql, Unit
from stellwerk.traffic.answers import read_failure
from stellwerk.traffic.execution import Execution, Options, Status, Target, Told, WebhookState
from stellwerk.traffic.parcel import Parcel
from stellwerk.work.requirements import DELIVERED, queue_key_of
from stellwerk.work.states import Reason, State
from stellwerk.work.task import Holder

_SHOWN = """
SELECT t.task_id, e.run_id, e.group_id, e.function, e.kind, t.state, t.reason, e.version, t.holder_instance,
t.submitted_at, t.started_at, t.finished_at, r.result, r.error, e.parent_id, e.session_id, e.actor_id,
e.caller, t.principal, t.holder_group, t.fence, w.state, w.attempts, w.last_error
FROM tasks t JOIN executions e ON e.task_id = t.task_id LEFT JOIN task_results r ON r.task_id = t.task_id
LEFT JOIN execution_webhooks w ON w.task_id = t.task_id"""
_ONE = f"{_SHOWN} WHERE t.task_id = $1"
_SOME = PerEngine(
    f"{_SHOWN} WHERE t.task_id IN (SELECT value FROM json_each($1))",
    f"{_SHOWN} WHERE t.task_id IN (SELECT jsonb_array_elements_text($1::jsonb))",
)
_PARCEL = """
SELECT t.task_id, e.group_id, e.function, e.kind, p.task_data, e.run_id, e.parent_id, e.session_id,
e.actor_id, e.caller, e.pin, e.headers, t.repeatable, t.submitted_at, t.fence, t.attempt, t.started_at,
e.version, t.holder_instance, e.accepted_at
FROM tasks t JOIN executions e ON e.task_id = t.task_id JOIN task_payloads p ON p.task_id = t.task_id"""
_WAITING = f"""{_PARCEL}
WHERE t.queue_key = $1 AND t.state = 'queued' AND t.delayed = 0 ORDER BY t.rank_at, t.task_id LIMIT $2"""
# Without what was sent: it may be large, and is not sent again from here.
_UNDER_WAY = f"""{_PARCEL.replace("p.task_data", "''", 1)}
WHERE t.lease_expires_at IS NOT NULL AND t.state = 'running' AND t.task_id > $1 ORDER BY t.task_id LIMIT $2"""
_STOPPING = """
SELECT t.task_id, t.fence, t.holder_group, t.holder_instance FROM tasks t
JOIN executions e ON e.task_id = t.task_id WHERE t.state = 'cancelling' ORDER BY t.submitted_at LIMIT $1"""
_UNHEARD = """
SELECT t.task_id, t.fence, t.holder_group, t.holder_instance FROM tasks t
JOIN executions e ON e.task_id = t.task_id
WHERE t.lease_expires_at IS NOT NULL AND t.state = 'running' AND e.accepted_at IS NULL
AND t.leased_at < $1 LIMIT $2"""
# Not of one that went to somebody else meanwhile.
_ACCEPTED = "UPDATE executions SET accepted_at = $3 WHERE task_id = $1 AND version = $2"

_AGENT = PerEngine(
    "SELECT registered_at FROM fleet_groups WHERE group_id = $1",
    "SELECT registered_at FROM fleet_groups WHERE group_id = $1 FOR UPDATE",
)
_OPTIONS = "SELECT group_id, sticky, concurrency, supervisor, metadata, updated_at FROM traffic_options"
_OPTIONS_OF = f"{_OPTIONS} WHERE group_id = $1"
_SET_OPTIONS = """
INSERT INTO traffic_options (group_id, sticky, concurrency, supervisor, metadata, updated_at, updated_by)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (group_id) DO UPDATE SET sticky = excluded.sticky,
concurrency = excluded.concurrency, supervisor = excluded.supervisor, metadata = excluded.metadata,
updated_at = excluded.updated_at, updated_by = excluded.updated_by"""
_DROP_OPTIONS = (
    "DELETE FROM traffic_options WHERE group_id = $1 AND updated_at = $2"
    " AND NOT EXISTS (SELECT 1 FROM fleet_groups WHERE group_id = $1)"
)

_STATUSES = {
    State.QUEUED: Status.QUEUED,
    State.LEASED: Status.RUNNING,
    State.RUNNING: Status.RUNNING,
    State.CANCELLING: Status.RUNNING,
    State.SUCCEEDED: Status.SUCCEEDED,
    State.FAILED: Status.FAILED,
    State.DEAD: Status.FAILED,
    State.CANCELLED: Status.CANCELLED,
}
_TIME_IS_OVER = frozenset({Reason.TIMED_OUT, Reason.EXPIRED})
_SAID: Mapping[str, str] = {
    Reason.LOST: "the agent's process, or its answer, was lost; the function may have run",
    Reason.TIMED_OUT: "the execution took longer than it may",
    Reason.EXPIRED: "the execution waited longer than it may",
    Reason.REQUESTED: "the execution was cancelled",
    Reason.CLEARED: "the execution was cancelled: its queue was cleared",
    Reason.AGENT_REMOVED: "the agent was removed",
}
_headers = msgspec.json.Decoder(dict[str, str])
_object = msgspec.json.Decoder(dict[str, object])


class Shown(msgspec.Struct, frozen=True):
    """An execution with what proves a lease on it."""

    execution: Execution
    holder: Holder
    fence: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that waits, or is under way since before this process began."""

    parcel: Parcel
    repeatable: bool
    submitted_at: int
    fence: int
    attempt: int
    started_at: int | None
    version: str | None
    instance: str | None
    accepted: bool


class Kept(msgspec.Struct, frozen=True):
    """Options of an agent, and when they were set."""

    options: Options
    set_at: int
    """Not before the registration that they belong to."""


class Held(msgspec.Struct, frozen=True):
    """A task and who has it."""

    task_id: str
    fence: int
    holder: Holder


def status_of(state: State, reason: str | None) -> Status:
    """Translate where a task stands."""
    return Status.TIMEOUT if reason in _TIME_IS_OVER and state is State.FAILED else _STATUSES[state]


def error_said(status: Status, reason: str | None) -> str | None:
    """Say what is wrong with an execution whose agent said nothing."""
    if status in (Status.FAILED, Status.TIMEOUT, Status.CANCELLED):
        return _SAID.get(reason or "", "the execution failed")
    return None


def read_shown(execution_id: str) -> Unit[Shown | None]:
    """Return an execution; None if there is none."""
    rows = yield Sql(_ONE, (execution_id,))
    return _shown(rows[0]) if rows else None


def read_several(execution_ids: Sequence[str]) -> Unit[list[Execution]]:
    """Return those of the executions that exist."""
    rows = yield Sql(_SOME, (json.dumps(execution_ids),))
    return [_shown(row).execution for row in rows]


def read_waiting(group: str, limit: int) -> Unit[list[Found]]:
    """Return the first executions that wait for an agent."""
    return [_found(row) for row in (yield Sql(_WAITING, (queue_key_of(DELIVERED, group), limit)))]


def read_under_way(after: str, limit: int) -> Unit[list[Found]]:
    """Return running executions behind an id, in order of ids."""
    return [_found(row) for row in (yield Sql(_UNDER_WAY, (after, limit)))]


def read_stopping(limit: int) -> Unit[list[Held]]:
    """Return executions whose agents are to stop them."""
    return [Held(row[0], row[1], Holder(row[2], row[3])) for row in (yield Sql(_STOPPING, (limit,)))]


def read_unheard(before: int, limit: int) -> Unit[list[Held]]:
    """Return executions that were sent before an instant, and of which nothing was heard since."""
    return [Held(row[0], row[1], Holder(row[2], row[3])) for row in (yield Sql(_UNHEARD, (before, limit)))]


def write_accepted(accepted: Sequence[tuple[str, str]], now_us: int) -> Unit[None]:
    """Note that agents promised to report: (execution, version)."""
    yield Many(_ACCEPTED, [(task_id, version, now_us) for task_id, version in sorted(accepted)])


def lock_agent(group: str) -> Unit[int | None]:
    """Exclude other changes of an agent; return when it was registered, None if it is not."""
    rows = yield Sql(_AGENT, (group,))
    return rows[0][0] if rows else None


def read_options() -> Unit[dict[str, Kept]]:
    """Return the options of all agents that have any."""
    return {row[0]: _options(row) for row in (yield Sql(_OPTIONS))}


def read_options_of(group: str) -> Unit[Kept | None]:
    """Return the options of an agent; None if nothing was set."""
    rows = yield Sql(_OPTIONS_OF, (group,))
    return _options(rows[0]) if rows else None


def write_options(group: str, kept: Kept, principal: str) -> Unit[None]:
    """Set the options of an agent."""
    options = kept.options
    supervisor = None if options.supervisor is None else msgspec.json.encode(options.supervisor).decode()
    yield Sql(
        _SET_OPTIONS,
        (
            group,
            int(options.sticky),
            options.concurrency,
            supervisor,
            msgspec.json.encode(options.metadata).decode(),
            kept.set_at,
            principal,
        ),
    )


def drop_options(gone: Sequence[tuple[str, int]]) -> Unit[None]:
    """Forget the options of agents that the table has no more: (agent, when they were set)."""
    yield Many(_DROP_OPTIONS, sorted(gone))


def _shown(row: Row) -> Shown:
    state, reason = State(row[5]), row[6]
    status = status_of(state, reason)
    failure = read_failure(row[13])
    execution = Execution(
        id=row[0],
        run_id=row[1],
        target=Target(row[2], row[3], row[4]),
        status=status,
        reason="unreachable" if failure is not None and failure.unreachable else reason,
        version=row[7],
        instance=row[8],
        created_at=row[9],
        started_at=row[10],
        finished_at=row[11],
        result=row[12] if status is Status.SUCCEEDED else None,
        error=failure.error if failure is not None else error_said(status, reason),
        error_details=None if failure is None else failure.details_text,
        error_status=None if failure is None else failure.status,
        parent_id=row[14],
        session_id=row[15],
        actor_id=row[16],
        caller=row[17],
        principal=row[18],
        webhook=told_of(row[21:24]),
    )
    return Shown(execution, Holder(row[19] or row[2], row[8] or ""), row[20])


def told_of(row: Row) -> Told | None:
    """Read how a webhook stands (state, attempts, error), where there is one."""
    return None if row[0] is None else Told(state=WebhookState(row[0]), attempts=row[1], error=row[2])


def _found(row: Row) -> Found:
    parcel = Parcel(
        id=row[0],
        target=Target(row[1], row[2], row[3]),
        input=row[4],
        run_id=row[5],
        parent_id=row[6],
        session_id=row[7],
        actor_id=row[8],
        caller=row[9],
        pin=row[10],
        headers={} if row[11] == "{}" else _headers.decode(row[11]),
    )
    return Found(
        parcel=parcel,
        repeatable=bool(row[12]),
        submitted_at=row[13],
        fence=row[14],
        attempt=row[15],
        started_at=row[16],
        version=row[17],
        instance=row[18],
        accepted=row[19] is not None,
    )


def _options(row: Row) -> Kept:
    options = Options(
        sticky=bool(row[1]),
        concurrency=row[2],
        supervisor=None if row[3] is None else _object.decode(row[3]),
        metadata=_object.decode(row[4]),
    )
    return Kept(options, row[5])
