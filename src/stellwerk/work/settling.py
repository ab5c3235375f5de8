"""What holders say about the tasks that they hold: begun, done, failed, given back, stopped.

Messages of one moment are handled in one unit of work. Several may concern the same task (begun and done,
say); each sees what the one before it made of the task.
"""

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from stellwerk.database.unit import Sql, Unit
from stellwerk.work import lifecycle
from stellwerk.work.lease import Terms
from stellwerk.work.lifecycle import Change, Live, prove_lease
from stellwerk.work.refusals import TooLarge, UnknownTask, WorkRefused
from stellwerk.work.states import ACTIVE, Reason
from stellwerk.work.store import StoredResult, load_live, write_changes
from stellwerk.work.task import Holder

_FIND_HASH = "SELECT result_hash FROM task_results WHERE task_id = $1"


class Begun(Struct, frozen=True, gc=False):
    """The holder starts."""

    holder: Holder
    task_id: str
    fence: int


class Done(Struct, frozen=True, gc=False):
    """The holder has a result."""

    holder: Holder
    task_id: str
    fence: int
    kept: StoredResult


class Failed(Struct, frozen=True, gc=False):
    """The attempt ended with an error."""

    holder: Holder
    task_id: str
    fence: int
    kept: StoredResult
    retryable: bool
    jitter: float
    """0 … 1; spreads the next attempts."""
    timed_out: bool = False
    """Its holder stopped it because its time was over."""


class HandedBack(Struct, frozen=True, gc=False):
    """The holder will not do it."""

    holder: Holder
    task_id: str
    fence: int
    delay_us: int = 0
    unsent: bool = False
    """It never got it."""


class Stopped(Struct, frozen=True, gc=False):
    """The holder stopped as asked."""

    holder: Holder
    task_id: str
    fence: int


class Forgotten(Struct, frozen=True, gc=False):
    """The holder came back without it: its process died meanwhile."""

    holder: Holder
    task_id: str
    fence: int
    jitter: float
    at_once: bool = False
    """Whether it may begin again without a pause."""


Message = Begun | Done | Failed | HandedBack | Stopped | Forgotten


def kept_result(
    task_id: str, *, result: str | None = None, error: str | None = None, limit: int
) -> StoredResult:
    """Return what will be stored. Raises TooLarge past `limit` bytes."""
    text = result if result is not None else error or "null"
    data = text.encode()
    if len(data) > limit:
        raise TooLarge("result" if result is not None else "error", limit)
    kind = b"result:" if result is not None else b"error:"
    return StoredResult(task_id, result, error, hashlib.sha256(kind + data).hexdigest())


def settle_tasks(messages: Sequence[Message], now_us: int, terms: Terms) -> Unit[list[Change | WorkRefused]]:
    """Take each message in order; one that is refused changes nothing."""
    tasks = yield from load_live(list({message.task_id for message in messages}))
    answers: list[Change | WorkRefused] = []
    results: dict[str, StoredResult] = {}
    for message in messages:
        task = tasks.get(message.task_id)
        if task is None:
            answers.append(UnknownTask(message.task_id))
            continue
        try:
            change = yield from _take(task, message, results, now_us, terms)
        except WorkRefused as refused:
            answers.append(refused)
            continue
        tasks[task.task_id] = change.after
        answers.append(change)
    changes = [answer for answer in answers if isinstance(answer, Change)]
    yield from write_changes(changes, list(results.values()), now_us)
    return answers


def _take(
    task: Live, message: Message, results: dict[str, StoredResult], now_us: int, terms: Terms
) -> Unit[Change]:
    prove_lease(task, message.holder, message.fence)
    if isinstance(message, Done | Failed):
        if task.state not in ACTIVE and (yield from _said_before(message, results)):
            return Change(task, task)
        after = _end_attempt(task, message, now_us, terms)
        results[task.task_id] = message.kept
        return Change(task, after)
    match message:
        case Begun():
            return Change(task, lifecycle.start(task, now_us, terms))
        case HandedBack():
            return Change(task, lifecycle.hand_back(task, now_us, message.delay_us, unsent=message.unsent))
        case Stopped():
            return Change(task, lifecycle.confirm_stopped(task, now_us))
        case Forgotten():
            after = lifecycle.forget(
                task, now_us, jitter=message.jitter, terms=terms, at_once=message.at_once
            )
            return Change(task, after)


def _end_attempt(task: Live, message: Done | Failed, now_us: int, terms: Terms) -> Live:
    if isinstance(message, Done):
        return lifecycle.succeed(task, now_us)
    return lifecycle.fail(
        task,
        now_us,
        retryable=message.retryable,
        jitter=message.jitter,
        terms=terms,
        reason=Reason.TIMED_OUT if message.timed_out else Reason.ERROR,
    )


def _said_before(message: Done | Failed, results: dict[str, StoredResult]) -> Unit[bool]:
    known = results.get(message.task_id)
    if known is not None:
        return known.result_hash == message.kept.result_hash
    rows = yield Sql(_FIND_HASH, (message.task_id,))
    return bool(rows) and rows[0][0] == message.kept.result_hash
