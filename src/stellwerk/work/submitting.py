"""Queue a task: check it, give it an id and a rank, write it once however often it is sent."""

import hashlib
import random
from collections.abc import Sequence

import msgspec

from stellwerk.database.unit import Many, Sql, Unit, Value
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append_many
from stellwerk.work.counting import QUEUED_COUNTER, add_up
from stellwerk.work.lease import Terms
from stellwerk.work.priority import check_priority, rank_at
from stellwerk.work.refusals import IdempotencyConflict, InvalidTask, WorkRefused
from stellwerk.work.requirements import ANY, DELIVERED, form_id_of, queue_key_of, reduce_to_form, write_form
from stellwerk.work.states import State
from stellwerk.work.task import Submission, Submitted

_INSERT = """
INSERT INTO tasks (task_id, principal, application, task_type, queue_key, form_id, target_group, priority,
priority_name, rank_at, state, repeatable, attempt, max_attempts, fence, submitted_at, not_before, delayed,
deadline_at, timeout_us)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'queued', $11, 0, $12, 0, $13, $14, $15, $16, $17)"""
_INSERT_OWN_ID = _INSERT + " ON CONFLICT (task_id) DO NOTHING RETURNING task_id"
INSERT_PAYLOAD = """
INSERT INTO task_payloads (task_id, task_data, requirements, body_hash, preferred)
VALUES ($1, $2, $3, $4, $5)"""
_INSERT_FORM = (
    "INSERT INTO task_forms (form_id, form, created_at) VALUES ($1, $2, $3) ON CONFLICT (form_id) DO NOTHING"
)
_TAKE_KEY = """
INSERT INTO idempotency_keys (scope, key, task_id, body_hash, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, key) DO UPDATE SET task_id = excluded.task_id, body_hash = excluded.body_hash,
created_at = excluded.created_at WHERE idempotency_keys.created_at <= $6 RETURNING task_id"""
_FIND_KEY = "SELECT task_id, body_hash FROM idempotency_keys WHERE scope = $1 AND key = $2"
_DROP_KEY = "DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2"
_FIND_TASK = """
SELECT t.principal, p.body_hash, t.submitted_at, t.state
FROM tasks t JOIN task_payloads p ON p.task_id = t.task_id WHERE t.task_id = $1"""

MOST_ATTEMPTS = 1_000
LONGEST_TEXT = 253


class NewTask(msgspec.Struct, frozen=True, gc=False):
    """A checked submission, ready to be written."""

    task_id: str
    own_id: bool
    key: str | None
    body_hash: str
    """Empty where nothing can be sent twice: without a key and an own id."""
    form: str | None
    """Canonical text; None for the form that asks nothing."""
    form_id: str
    queue_key: str
    rank_at: int
    priority: int
    delayed: bool
    submitted_at: int
    principal: str
    application: str | None
    row: tuple[Value, ...]
    payload: tuple[Value, ...]


def prepare(
    principal: str,
    submission: Submission,
    now_us: int,
    ageing_step_us: int,
    terms: Terms,
    *,
    new_id: str | None = None,
) -> NewTask:
    """Check a submission and lay out its rows; `new_id` is used where it brings none of its own.

    Raises InvalidPriority, InvalidTask.
    """
    check_priority(submission.priority)
    _check(submission)
    not_before = now_us + submission.delay_us if submission.delay_us else submission.not_before
    deadline_at = now_us + submission.expires_us if submission.expires_us else submission.deadline_at
    delayed = not_before is not None and not_before > now_us
    # A task that may not begin before an instant waits from that instant on, as far as ageing goes.
    rank = rank_at(not_before if delayed and not_before else now_us, submission.priority, ageing_step_us)
    form = reduce_to_form(submission.requirements)
    form_id = DELIVERED if submission.delivered else form_id_of(form)
    group = submission.requirements.agent
    queue_key = queue_key_of(form_id, group)
    task_id = submission.task_id or new_id or new_task_id(now_us)
    keyed = submission.task_id is not None or submission.idempotency_key is not None
    body_hash = hash_body(submission) if keyed else ""
    preferred = msgspec.json.encode(submission.preferred).decode() if submission.preferred else None
    return NewTask(
        task_id,
        submission.task_id is not None,
        submission.idempotency_key,
        body_hash,
        None if form_id in (ANY, DELIVERED) else write_form(form),
        form_id,
        queue_key,
        rank,
        submission.priority,
        delayed,
        now_us,
        principal,
        submission.application,
        (
            task_id,
            principal,
            submission.application,
            submission.task_type,
            queue_key,
            form_id,
            group,
            submission.priority,
            submission.priority_name,
            rank,
            1 if submission.repeatable else 0,
            submission.max_attempts or terms.max_attempts,
            now_us,
            not_before,
            1 if delayed else 0,
            deadline_at,
            submission.timeout_us,
        ),
        (task_id, submission.task_data, submission.requirements_text, body_hash, preferred),
    )


def new_task_id(now_us: int) -> str:
    """Return a UUID of version 7: ids that grow with time keep inserts at the end of the indexes."""
    # Not from the operating system each time: that gives up the interpreter, and getting it back from the
    # database's thread takes 70 µs under load. The generator was seeded from there; an id is no secret.
    chance = random.getrandbits(80)
    digits = f"{now_us // 1_000:012x}{chance:020x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-7{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def hash_body(submission: Submission) -> str:
    """Return a hash that is equal for submissions that mean the same, whatever the order and spacing of
    their JSON.
    """
    said = (
        msgspec.json.decode(submission.task_data),
        msgspec.json.decode(submission.requirements_text),
        submission.task_type,
        submission.priority,
        submission.repeatable,
        submission.max_attempts,
        submission.not_before,
        submission.delay_us,
        submission.deadline_at,
        submission.expires_us,
        submission.timeout_us,
    )
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


def submit_tasks(tasks: Sequence[NewTask], keys_since: int) -> Unit[list[Submitted | WorkRefused]]:
    """Write the tasks.

    Those that were sent before are answered as then. Keys older than `keys_since` are forgotten.
    """
    answers: list[Submitted | WorkRefused] = []
    written: list[NewTask] = []
    for task in tasks:
        answer = (yield from write_once(task, keys_since)) if task.body_hash else None
        if answer is None:
            written.append(task)
            answer = Submitted(task.task_id, task.submitted_at, State.QUEUED, False)
        answers.append(answer)
    if written:
        yield from _write(written)
    return answers


def _write(written: Sequence[NewTask]) -> Unit[None]:
    forms = {
        task.form_id: (task.form_id, task.form, task.submitted_at)
        for task in written
        if task.form is not None
    }
    if forms:
        yield Many(_INSERT_FORM, sorted(forms.values()))
    plain = [task for task in written if not task.body_hash]
    if plain:
        yield Many(_INSERT, [task.row for task in plain])
        yield Many(INSERT_PAYLOAD, [task.payload for task in plain])
    yield from append_many([submitted_event(task) for task in written], written[0].submitted_at)
    amounts = {"state.queued": len(written), "work.submitted": len(written)}
    for task in written:
        counter = QUEUED_COUNTER[task.priority]
        amounts[counter] = amounts.get(counter, 0) + 1
        if task.form is not None:
            amounts[f"form.{task.form_id}"] = amounts.get(f"form.{task.form_id}", 0) + 1
    yield from add_up(amounts)


def write_once(task: NewTask, keys_since: int) -> Unit[Submitted | WorkRefused | None]:
    """Take the task's key and id.

    None means that both were free; the task is then written at once, for the next of the unit to find it.
    """
    if task.key is not None:
        parameters = (task.principal, task.key, task.task_id, task.body_hash, task.submitted_at, keys_since)
        if not (yield Sql(_TAKE_KEY, parameters)):
            rows = yield Sql(_FIND_KEY, (task.principal, task.key))
            if rows[0][1] != task.body_hash:
                return IdempotencyConflict(task.key)
            return (yield from _sent_before(task, rows[0][0], task.key))
    if (yield Sql(_INSERT_OWN_ID, task.row)):
        yield Sql(INSERT_PAYLOAD, task.payload)
        return None
    answer = yield from _sent_before(task, task.task_id, task.task_id)
    if task.key is not None and not isinstance(answer, Submitted):
        yield Sql(_DROP_KEY, (task.principal, task.key))
    return answer


def _sent_before(task: NewTask, task_id: str, key: str) -> Unit[Submitted | WorkRefused]:
    rows = yield Sql(_FIND_TASK, (task_id,))
    if not rows or rows[0][0] != task.principal or rows[0][1] != task.body_hash:
        return IdempotencyConflict(key)
    return Submitted(task_id, rows[0][2], State(rows[0][3]), True)


def submitted_event(task: NewTask) -> Event:
    """Return the event of a submission."""
    data = '{"delayed":true}' if task.delayed else "{}"
    return Event(
        "task.submitted",
        Retention.TASK,
        task=task.task_id,
        principal=task.principal,
        application=task.application,
        data=data,
    )


def _check(submission: Submission) -> None:
    if submission.max_attempts is not None and not 1 <= submission.max_attempts <= MOST_ATTEMPTS:
        raise InvalidTask(f"max_attempts must be between 1 and {MOST_ATTEMPTS}")
    if submission.timeout_us is not None and submission.timeout_us <= 0:
        raise InvalidTask("The timeout must be above 0")
    if submission.delay_us is not None and submission.delay_us < 0:
        raise InvalidTask("The delay must not be negative")
    if submission.delay_us is not None and submission.not_before is not None:
        raise InvalidTask("Give a delay or the instant before which the task may not begin, not both")
    if submission.task_id is not None and not 1 <= len(submission.task_id) <= LONGEST_TEXT:
        raise InvalidTask(f"A task id has 1 to {LONGEST_TEXT} characters")
    if submission.idempotency_key is not None and not 1 <= len(submission.idempotency_key) <= LONGEST_TEXT:
        raise InvalidTask(f"An idempotency key has 1 to {LONGEST_TEXT} characters")
