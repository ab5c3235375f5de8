"""What the queue refuses, as small typed exceptions; interfaces turn them into their own answers."""


class WorkRefused(Exception):
    """Any expected refusal of this subject. Nothing was changed."""


class InvalidPriority(WorkRefused):
    """The priority has no such name, or its number is out of range."""

    def __init__(self, priority: str) -> None:
        super().__init__(f"Invalid priority: {priority}")
        self.priority = priority


class InvalidTask(WorkRefused):
    """The submission contradicts itself or is out of range."""


class IdempotencyConflict(WorkRefused):
    """The key (or the client's own task id) was used for something else."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key!r} was already used for another task; the same key needs the same body")
        self.key = key


class Crowded(WorkRefused):
    """There is no room for another waiting task. Temporary."""

    retry_after_s = 5.0
    """A full queue empties in seconds, not at once."""


class QueueFull(Crowded):
    """As many tasks wait as may."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The queue is full: {limit} tasks are waiting. Try again later")
        self.limit = limit


class TooManyForms(Crowded):
    """As many distinct requirement forms are in use as may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"Waiting tasks already use {limit} distinct sets of requirements")
        self.limit = limit


class UnknownTask(WorkRefused):
    """There is no such task (any more)."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id!r} not found")
        self.task_id = task_id


class LeaseLost(WorkRefused):
    """The caller no longer holds the task: another attempt began, or it was taken back."""

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"The lease on task {task_id!r} is no longer valid; the task is {state}")
        self.task_id = task_id
        self.state = state


class ConflictingResult(WorkRefused):
    """The task has already ended, and differently. The first result stands."""

    def __init__(self, task_id: str, state: str) -> None:
        super().__init__(f"Task {task_id!r} has already ended as {state}; the first result stands")
        self.task_id = task_id
        self.state = state


class NotPossible(WorkRefused):
    """The task's state does not allow what was asked (requeue of a running one, say)."""

    def __init__(self, task_id: str, state: str, what: str) -> None:
        super().__init__(f"Task {task_id!r} is {state} and cannot be {what}")
        self.task_id = task_id
        self.state = state


class NotYours(WorkRefused):
    """Another principal submitted the task, and the caller does not administer tasks."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id!r} belongs to another principal")
        self.task_id = task_id


class TooLarge(WorkRefused):
    """A result or error is longer than may be kept."""

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"The {what} is larger than {limit} bytes")
        self.limit = limit


class InvalidCursor(WorkRefused):
    """The cursor of a list was not made by this server."""
