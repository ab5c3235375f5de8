"""Events of tasks: one for every step."""

from functools import lru_cache

import msgspec

from stellwerk.journal.event import Event, Retention
from stellwerk.work.lifecycle import Live
from stellwerk.work.states import State

_KINDS = {
    State.QUEUED: "task.requeued",
    State.LEASED: "task.leased",
    State.RUNNING: "task.started",
    State.CANCELLING: "task.cancelling",
    State.SUCCEEDED: "task.succeeded",
    State.FAILED: "task.failed",
    State.CANCELLED: "task.cancelled",
    State.DEAD: "task.dead",
}


def step_event(task: Live) -> Event:
    """Return the event of a step that led to this."""
    return Event(
        _KINDS[task.state],
        Retention.TASK,
        task.holder_group,
        task.task_id,
        task.principal,
        task.application,
        event_data(task.attempt, task.fence, task.holder_instance, task.reason),
    )


def event_data(attempt: int, fence: int, instance: str | None, reason: str | None) -> str:
    """Return the data of a task's event. Written by hand: it is made for every step of every task."""
    data = f'{{"attempt":{attempt},"fence":{fence}'
    if instance is not None:
        data += f',"instance":{_quoted(instance)}'
    if reason is not None:
        data += f',"reason":"{reason}"'
    return data + "}"


@lru_cache(maxsize=4_096)
def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
