"""What can go wrong, as a program that uses the SDK sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stellwerk.sdk.records import Task


class StellwerkError(Exception):
    """The root of every error of this package."""


class Unreachable(StellwerkError):
    """The control plane could not be reached, or stayed unavailable for as long as the client was told to
    retry.
    """


class Refused(StellwerkError):
    """The control plane refused a request for good; the same request would be refused again."""

    def __init__(self, status: int, detail: str, code: str | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.code = code


class NotFound(Refused):
    """There is no such task or agent."""


class NotAllowed(Refused):
    """The API key is missing, unknown or revoked (401), or its scopes do not reach that far (403)."""


class Conflict(Refused):
    """Somebody else owns it, or it is no longer in a state that allows it; `code` tells which."""


class TooLarge(Refused):
    """The body is larger than the control plane takes."""


class WaitTimeout(StellwerkError):
    """The task had not finished when the given time was over. It goes on; wait again if you like."""

    def __init__(self, task_id: str, state: str, timeout_s: float) -> None:
        super().__init__(f"task {task_id} is still {state} after {timeout_s:g} s")
        self.task_id = task_id
        self.state = state


class TaskNotSucceeded(StellwerkError):
    """The task finished otherwise than by success; `task` has its state, reason and error."""

    def __init__(self, task: Task) -> None:
        reason = f" ({task.reason})" if task.reason else ""
        super().__init__(f"task {task.task_id} is {task.state}{reason}: {task.error!r}")
        self.task = task


class TaskCancelled(StellwerkError):
    """Raised in a worker's function by `Context.raise_if_cancelled`: stop, the result is no longer wanted."""


class PermanentFailure(StellwerkError):
    """Raise it in a worker's function when another attempt would fail the same way.

    `error` is what the submitter sees: a text or a JSON object.
    """

    def __init__(self, error: str | Mapping[str, Any]) -> None:
        super().__init__(error)
        self.error = error


_BY_STATUS: dict[int, type[Refused]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
}


def refusal(status: int, detail: str, code: str | None = None) -> Refused:
    """Build the error that fits an HTTP status."""
    return _BY_STATUS.get(status, Refused)(status, detail, code)
