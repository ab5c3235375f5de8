"""What an agent reports on its tasks, by requests and over the stream alike.

An agent may leave out the lease; then its present one is meant. Whatever text comes in is masked before it is
kept. Waiting answers are the caller's to bound: progress and logs are written in batches.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

from stellwerk.http.instants import microseconds
from stellwerk.http.problem import Problem
from stellwerk.interfaces.deployment.credentials import Credentials, Masks
from stellwerk.interfaces.deployment.wire.frames import TaskCompleted, TaskLog
from stellwerk.interfaces.deployment.wire.tasks import LOG_LINES, CompleteTask, LogLine, TaskError
from stellwerk.work import task as work_task
from stellwerk.work.refusals import LeaseLost, NotPossible, NotYours
from stellwerk.work.service import Work
from stellwerk.work.task import Holder, Settled, Standing

LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error"}
LEVELS |= {"critical": "critical", "fatal": "critical", "trace": "debug"}
COUNTED = 10_000
"""Tasks whose unnumbered lines are counted."""
FAILED = TaskError(type="failed", message="The agent reported no reason")


Line = LogLine | TaskLog
Completion = CompleteTask | TaskCompleted


class Reports:
    """See the module."""

    def __init__(self, work: Work, credentials: Credentials) -> None:
        self._work = work
        self._credentials = credentials
        self._lines: OrderedDict[str, int] = OrderedDict()

    async def accept(self, holder: Holder, task_id: str, lease: int | None) -> Standing:
        """Begin a task, durably. Raises Problem (410) for one that was cancelled meanwhile."""
        fence, _ = await self._known(holder, task_id, lease)
        try:
            standing = await self._work.acknowledge(holder, task_id, fence)
        except LeaseLost:
            await self._explain(holder, task_id)
            raise
        if standing.stop_asked:
            raise Problem(410, "task.cancelled", f"Task {task_id!r} was cancelled; do not begin it")
        return standing

    async def progress(
        self, holder: Holder, task_id: str, lease: int | None, percent: float, message: str | None
    ) -> Standing:
        """Record how far a task is."""
        fence, masks = await self._known(holder, task_id, lease)
        note = None if message is None else masks.hide(message)
        return await self._work.progress(holder, task_id, fence, percent / 100, note)

    async def log(self, holder: Holder, task_id: str, lease: int | None, lines: Sequence[Line]) -> Standing:
        """Keep log lines."""
        fence, masks = await self._known(holder, task_id, lease)
        return await self._log(holder, task_id, fence, lines, masks)

    async def complete(
        self, holder: Holder, task_id: str, said: Completion, attempt: int | None = None
    ) -> Settled:
        """End a task as its holder says, its last lines first."""
        if len(said.logs) > LOG_LINES:
            raise Problem(413, "too_large", f"A completion has at most {LOG_LINES} log lines")
        fence, masks = await self._known(holder, task_id, said.lease, attempt)
        if said.logs:
            await self._last_lines(holder, task_id, fence, said.logs, masks)
        try:
            settled = await self._settle(holder, task_id, fence, said, masks)
        except LeaseLost:
            await self._explain(holder, task_id)
            raise
        self._lines.pop(task_id, None)
        return settled

    async def release(self, holder: Holder, task_id: str, lease: int | None) -> Settled:
        """Give a task back unstarted."""
        fence, _ = await self._known(holder, task_id, lease)
        return await self._work.hand_back(holder, task_id, fence)

    async def _settle(
        self, holder: Holder, task_id: str, fence: int, said: Completion, masks: Masks
    ) -> Settled:
        result = masks.hide(bytes(said.result).decode())
        if said.success:
            return await self._work.complete(holder, task_id, fence, result)
        if said.cancelled:
            try:
                return await self._work.confirm_cancelled(holder, task_id, fence)
            except NotPossible:
                pass  # It stopped of its own accord: its task has failed.
        error = said.error or FAILED
        if isinstance(error, str):
            error = TaskError(message=error)
        message = masks.hide(error.message)
        shown: dict[str, Any] = {"type": error.type, "message": message, "retriable": error.retriable}
        if result != "null":
            shown["result"] = msgspec.Raw(result.encode())
        return await self._work.fail(
            holder,
            task_id,
            fence,
            msgspec.json.encode(shown).decode(),
            retryable=error.retriable and not said.timed_out,
            timed_out=said.timed_out,
        )

    async def _last_lines(
        self, holder: Holder, task_id: str, fence: int, lines: Sequence[Line], masks: Masks
    ) -> None:
        self._lines.pop(task_id, None)  # Its lines of a completion are all of them, from the first.
        try:
            await self._log(holder, task_id, fence, lines, masks)
        except LeaseLost:
            return  # It ended before: said twice, or given up. What the completion is worth is told next.

    async def _log(
        self, holder: Holder, task_id: str, fence: int, lines: Sequence[Line], masks: Masks
    ) -> Standing:
        kept = [self._line(task_id, line, masks) for line in lines]
        return await self._work.log(holder, task_id, fence, kept)

    def _line(self, task_id: str, line: Line, masks: Masks) -> work_task.LogLine:
        number = line.seq
        if number is None:
            number = self._lines.pop(task_id, 0)
            self._lines[task_id] = number + 1
            if len(self._lines) > COUNTED:
                self._lines.popitem(last=False)
        # A text column cannot hold NUL.
        text = masks.hide(line.message).replace("\x00", "\ufffd")
        at = None if line.timestamp is None else microseconds(line.timestamp)
        return work_task.LogLine(number, text, LEVELS.get(line.level.lower(), "info"), at)

    async def _known(
        self, holder: Holder, task_id: str, lease: int | None, attempt: int | None = None
    ) -> tuple[int, Masks]:
        """Return the fence that is meant, and what to mask. Raises UnknownTask, NotYours, LeaseLost."""
        if lease is not None and self._credentials.knows(task_id):
            return lease, await self._credentials.masks(task_id, None)
        task = await self._work.get(task_id)
        if task.holder_group != holder.group:
            raise NotYours(task_id)
        if lease is None and attempt not in (None, task.attempt):
            raise LeaseLost(task_id, task.state.value)
        return task.fence if lease is None else lease, await self._credentials.masks(
            task_id, task.requirements or "{}"
        )

    async def _explain(self, holder: Holder, task_id: str) -> None:
        """Raise NotYours where a lease is not valid because it never was the caller's."""
        if (await self._work.get(task_id)).holder_group != holder.group:
            raise NotYours(task_id)
