"""What an executor is: the types between the agent's runner and those who do the work.

Theory of operation. The runner decides *whether* a task runs, an executor *how*. `run` ends in one of
four ways: it returns the result; it raises `Failed`, `Cancelled` or `TimedOut` after it has cleaned up
behind itself; or it is cancelled as a coroutine, which means that the agent's process ends: then it leaves
everything as it stands, so that `adopt` of the next process can carry on from what the world shows (labels,
names, files). Nothing about a task is kept in memory between calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Result = dict[str, Any]
"""What a task answers; anything that can be written as JSON."""

TASK_LABEL = "stellwerk.task"
ATTEMPT_LABEL = "stellwerk.attempt"

CLEANUP_LIMIT_S = 120.0
"""How long clean-up may take after a failure, a cancellation or a timeout: a stop with its grace, a start."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of one task, as the server handed it over."""

    task_id: str
    attempt: int
    task_type: str
    payload: Mapping[str, Any]
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values by name (`registry.username`, `ssh.privateKey`, `env.NAME` …). Never logged."""
    timeout_s: float = 300.0
    """For the work itself; clean-up has its own limit (`CLEANUP_LIMIT_S`)."""


class Report(Protocol):
    """Where an executor tells how it is getting on. Both return at once; what they are told may hold secrets
    that the receiver masks."""

    def progress(self, percent: int, message: str = "") -> None:
        """Tell the progress, 0 to 100; it never goes back."""

    def log(self, level: str, message: str) -> None:
        """Tell one line; level is debug, info, warning or error."""


class Failed(Exception):
    """The task failed and what it had begun is undone.

    `error_type` is a dotted word for programs (`docker.port_taken`), `retriable` says whether the same task
    may succeed later, `result` is what is known all the same.
    """

    def __init__(
        self, error_type: str, message: str, *, retriable: bool = False, result: Result | None = None
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message
        self.retriable = retriable
        self.result: Result = result or {}


class Lost(Failed):
    """What became of the task cannot be known: it had been started, and nothing tells its end."""

    def __init__(self, message: str) -> None:
        super().__init__("agent.lost", message)


class Cancelled(Exception):
    """The task was cancelled and what it had begun is undone."""


class TimedOut(Exception):
    """The task took longer than its `timeout_s` and what it had begun is undone."""


class Executor(Protocol):
    """Does the work of some task types."""

    task_types: tuple[str, ...]
    capability: str
    """What the agent announces when this executor is ready: `docker`, `compose`, `ssh` …"""

    async def ready(self) -> str | None:
        """Tell why this machine cannot do the work now; None when it can. Quick, never raises."""

    def check(self, task_type: str, payload: Mapping[str, Any]) -> list[str]:
        """List every fault of the parameters at once; empty when there is none."""

    async def run(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result:
        """Do the task. Safe to call again for the same `task_id`: what an earlier call did is adopted.

        Raises Failed (also with `parameters.invalid`), Cancelled, TimedOut, each after clean-up. When it is
        itself cancelled it leaves things as they stand, for `adopt`.
        """

    async def adopt(self, job: Job, report: Report, cancelled: asyncio.Event) -> Result | None:
        """Carry on a task that an earlier process of this agent had started.

        Returns its result, having brought it to its end; None when nothing was begun, or when it can be run
        again without harm: then `run` is right. Raises what `run` raises, and Lost when the end is unknown.
        """


async def within(job: Job, cancelled: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Do `work` until it ends, the task is cancelled or its time is up; it has ended when this returns.

    Raises Cancelled or TimedOut, or what the work raises. A cancellation of the caller reaches the work and
    goes on as CancelledError.
    """
    if cancelled.is_set():
        work.close()
        raise Cancelled(f"task {job.task_id} was cancelled")
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(cancelled.wait())
    try:
        await asyncio.wait({working, waiting}, timeout=job.timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if waiting.done():
            raise Cancelled(f"task {job.task_id} was cancelled")
        raise TimedOut(f"task {job.task_id} took longer than {job.timeout_s:g} s")
    finally:
        working.cancel()
        waiting.cancel()
        # Not `await working` within a suppress: that would swallow a cancellation of the caller.
        await asyncio.wait({working, waiting})
        if not working.cancelled():
            working.exception()  # looked at, so that nobody warns of it
