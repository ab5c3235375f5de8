"""What traffic refuses, as small typed exceptions; interfaces turn them into their own answers."""

from typing import Literal

from stellwerk.traffic.execution import Execution, Target


class TrafficRefused(Exception):
    """Any expected refusal of this subject; the message can be shown to the caller."""


class UnknownTarget(TrafficRefused):
    """No registered agent has this function, or there is no such agent."""

    def __init__(self, target: str, detail: str) -> None:
        super().__init__(detail)
        self.target = target


class UnknownVersion(TrafficRefused):
    """The call is pinned to a version that the agent does not have."""

    def __init__(self, group: str, version: str) -> None:
        super().__init__(f"Agent {group} has no version {version}")
        self.group = group
        self.version = version


NoVersionReason = Literal["off", "unhealthy", "pinned_unhealthy"]


class NoVersion(TrafficRefused):
    """No version can take the call now: all are off, none is healthy, or the pinned one is not. Temporary."""

    def __init__(self, group: str, reason: NoVersionReason) -> None:
        super().__init__(f"Agent {group}: {_WHY[reason]}")
        self.group = group
        self.reason = reason


_WHY: dict[NoVersionReason, str] = {
    "off": "every version has weight 0",
    "unhealthy": "no version is healthy",
    "pinned_unhealthy": "the pinned version is not healthy",
}


class Overloaded(TrafficRefused):
    """As many executions of the agent are under way as may. Temporary."""

    def __init__(self, group: str, limit: int, retry_after_s: int = 1) -> None:
        super().__init__(f"Agent {group} has {limit} executions under way, as many as it may")
        self.group = group
        self.limit = limit
        self.retry_after_s = retry_after_s


class QueueFull(TrafficRefused):
    """As many executions wait as may. Temporary."""

    def __init__(self, detail: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class InvalidCall(TrafficRefused):
    """The call contradicts itself, or is past a limit."""


class KeyConflict(TrafficRefused):
    """The idempotency key was used for another call."""


class Unreachable(TrafficRefused):
    """No instance could be dialled; nothing was sent. The execution has failed."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(f"Agent {execution.target.group} could not be reached")
        self.execution = execution


class TimedOut(TrafficRefused):
    """The call waited as long as it may; the execution goes on, unless its status says otherwise."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(f"Execution {execution.id} has not ended in time")
        self.execution = execution


class UnknownExecution(TrafficRefused):
    """There is no such execution (any more)."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"Execution {execution_id!r} not found")
        self.execution_id = execution_id


class NotYourExecution(TrafficRefused):
    """The caller may not report on, or cancel, this execution."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"Execution {execution_id!r} is not yours")
        self.execution_id = execution_id


class AlreadyEnded(TrafficRefused):
    """The execution has ended, and differently; the first end stands."""

    def __init__(self, execution_id: str, status: str) -> None:
        super().__init__(f"Execution {execution_id!r} has already ended as {status}")
        self.execution_id = execution_id
        self.status = status


class ResultTooLarge(TrafficRefused):
    """A result or error is longer than may be kept."""


class InvalidOptions(TrafficRefused):
    """An option that is out of range."""


def unknown_agent(target: Target) -> UnknownTarget:
    """Make the refusal of a target whose agent is gone."""
    return UnknownTarget(target.text, f"agent '{target.group}' not found")
