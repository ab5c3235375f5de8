"""The interface's own words: task status, priorities, task types, capabilities, and instants."""

from datetime import timedelta

from stellwerk.http.instants import EPOCH
from stellwerk.interfaces.deployment.wire.tasks import TaskStatus
from stellwerk.work.priority import check_priority, priority_named
from stellwerk.work.states import FINISHED, Reason, State

IDEMPOTENT_TYPES = frozenset({"docker.pull", "health.check", "inspect", "sticker.read", "sticker.write"})
"""Task types that may run again after their agent was lost, unless the submission says otherwise."""
CAPABILITY_OF = {"docker": "docker", "compose": "compose", "ssh": "ssh", "sftp": "ssh"}
"""What an agent must have for a task type, by the type's first word; others are left to the agent."""
CAPABILITY_OF |= {name: name for name in ("winrm", "ecs", "nomad")}

_BY_STATE: dict[State, TaskStatus] = {
    State.QUEUED: "pending",
    State.LEASED: "assigned",
    State.RUNNING: "running",
    State.CANCELLING: "cancelling",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.DEAD: "failed",
    State.CANCELLED: "cancelled",
}
_BY_REASON: dict[Reason, TaskStatus] = {
    Reason.TIMED_OUT: "timed_out",
    Reason.LOST: "lost",
    Reason.EXPIRED: "expired",
}
STATES: dict[TaskStatus, tuple[State, ...]] = {
    **{word: tuple(one for one in State if _BY_STATE[one] == word) for word in _BY_STATE.values()},
    **dict.fromkeys(_BY_REASON.values(), (State.FAILED, State.DEAD)),
}
"""The states that a status word can be the projection of."""


def status_of(state: State, reason: str | None) -> TaskStatus:
    """Say in one word how a task stands."""
    if state in FINISHED and reason is not None and state not in (State.SUCCEEDED, State.CANCELLED):
        return _BY_REASON.get(Reason(reason), "failed")
    return _BY_STATE[state]


def priority_of(given: int | str) -> int:
    """Read a priority. Raises InvalidPriority."""
    return priority_named(given) if isinstance(given, str) else check_priority(given)


def is_idempotent(task_type: str, payload: bytes) -> bool:
    """Tell whether a task may run again unasked; a composition may if it names every image by digest."""
    if task_type == "compose.up":
        return b"@sha256:" in payload and payload.count(b"image:") <= payload.count(b"@sha256:")
    return task_type in IDEMPOTENT_TYPES


def stamp(instant_us: int) -> str:
    """Write an instant as the published examples do: `2026-01-10T14:23:45Z`."""
    return (EPOCH + timedelta(seconds=instant_us // 1_000_000)).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_or_none(instant_us: int | None) -> str | None:
    """Write an instant that may be missing."""
    return None if instant_us is None else stamp(instant_us)
