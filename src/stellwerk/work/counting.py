"""What steps of tasks add to the counters: sizes of queues and states, and figures since the beginning."""

from collections import Counter
from collections.abc import Iterable, Mapping

from stellwerk.database.unit import Add, Unit
from stellwerk.work.lifecycle import Change
from stellwerk.work.priority import class_of
from stellwerk.work.requirements import ANY, DELIVERED
from stellwerk.work.states import ACTIVE, FINISHED, Reason, State

STATE_COUNTER = {state: f"state.{state}" for state in State}
QUEUED_COUNTER = {number: f"queued.{class_of(number)}" for number in range(50)}

_FAILED_ATTEMPT = frozenset(
    {Reason.RETRY, Reason.LOST, Reason.ERROR, Reason.ATTEMPTS_EXHAUSTED, Reason.TIMED_OUT}
)

_Kind = tuple[State, State, int, str, str | None, str | None]
"""What decides about counters: states before and after, priority, form, reasons before and after."""


def count_changes(changes: Iterable[Change]) -> Unit[None]:
    """Add what the changes mean. Most of a group are of one kind, so a kind is looked at once."""
    kinds: Counter[_Kind] = Counter()
    for change in changes:
        before, after = change.before, change.after
        kinds[(before.state, after.state, after.priority, after.form_id, before.reason, after.reason)] += 1
    amounts: Counter[str] = Counter()
    for kind, times in kinds.items():
        for counter, amount in _amounts(kind).items():
            amounts[counter] += amount * times
    yield from add_up(amounts)


def add_up(amounts: Mapping[str, int]) -> Unit[None]:
    """Change counters by what was summed."""
    for counter, amount in amounts.items():
        if amount:
            yield Add(counter, amount)


def _amounts(kind: _Kind) -> Counter[str]:
    before, after, priority, form_id, _, _ = kind
    amounts: Counter[str] = Counter()
    amounts[STATE_COUNTER[before]] -= 1
    amounts[STATE_COUNTER[after]] += 1
    amounts[QUEUED_COUNTER[priority]] += (after is State.QUEUED) - (before is State.QUEUED)
    if form_id not in (ANY, DELIVERED):
        amounts[f"form.{form_id}"] += (before in FINISHED) - (after in FINISHED)
    _count_outcome(kind, amounts)
    return amounts


def _count_outcome(kind: _Kind, amounts: Counter[str]) -> None:
    before, after, _, _, reason_before, reason_after = kind
    if after is State.SUCCEEDED:
        amounts["work.completed"] += 1
        amounts["work.assigned_ok"] += 1
        if before not in ACTIVE and reason_before == Reason.LOST:
            amounts["work.assigned_failed"] -= 1
        if before in (State.FAILED, State.DEAD):
            amounts["work.failed"] -= 1
        return
    if after in (State.FAILED, State.DEAD):
        amounts["work.failed"] += 1
    if before in ACTIVE and after not in ACTIVE and reason_after in _FAILED_ATTEMPT:
        amounts["work.assigned_failed"] += 1
