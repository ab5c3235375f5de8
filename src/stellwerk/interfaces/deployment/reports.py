"""What an agent reports on its tasks, by requests and over the stream alike.

An agent may leave out the lease; then its present one is meant. Whatever text comes in is masked before it is
kept. Progress and lines are written in batches; an end waits for those before it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from stellwerk.http.instants import microseconds
from stellwerk.http.problem import Problem
from stellwerk.interfaces.deployment.credentials import Credentials, Masks
from stellwerk.interfaces.deployment.wire.frames import TaskCompleted, TaskLog
from stellwerk.interfaces.deployment.wire.tasks import LOG_LINES, CompleteTask, LogLine, TaskError
from stellwerk.work import task as work_task
from stellwerk.work.refusals import ConflictingResult, LeaseLost, NotPossible, NotYours
from stellwerk.work.service import Work
from stellwerk.work.states import State
from stellwerk.work.task import Holder, Settled, Standing

T = TypeVar("T")

LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "warning": "warning", "error": "error"}
LEVELS |= {"critical": "critical", "fatal": "critical", "trace": "debug"}
COUNTED = 10_000
"""Tasks whose unnumbered lines are counted."""
FAILED = TaskError(type="failed", message="The agent reported no reason")


Written = asyncio.Task[Standing]
Line = LogLine | TaskLog
Completion = CompleteTask | TaskCompleted


class Reports:
    """See the module."""

    def __init__(self, work: Work, credentials: Credentials) -> None:
        self._work = work
        self._credentials = credentials
        self._lines: OrderedDict[str, int] = OrderedDict()
        self._writing: dict[str, Written] = {}
        """The last report of each task that is not written yet."""

    async def accept(self, holder: Holder, task_id: str, lease: int | None) -> Standing:
        """Begin a task, durably. Raises Problem (410) for one that was cancelled meanwhile."""
        fence, _ = await self._known(holder, task_id, lease)
        try:
            standing = await self._explained(holder, task_id, self._work.acknowledge(holder, task_id, fence))
        except LeaseLost as lost:
            if lost.state == State.CANCELLED:
                raise _cancelled(task_id) from None
            raise
        if standing.stop_asked:
            raise _cancelled(task_id)
        return standing

    async def progress(
        self, holder: Holder, task_id: str, lease: int | None, percent: float, message: str | None
    ) -> Written:
        """Record how far a task is; the answer is there when it is written."""
        fence, masks = await self._known(holder, task_id, lease)
        note = None if message is None else masks.hide(message)
        return self._write(task_id, self._work.progress(holder, task_id, fence, percent / 100, note))

    async def log(self, holder: Holder, task_id: str, lease: int | None, lines: Sequence[Line]) -> Written:
        """Keep log lines; the answer is there when they are written."""
        fence, masks = await self._known(holder, task_id, lease)
        return self._log(holder, task_id, fence, lines, masks)

    async def complete(
        self, holder: Holder, task_id: str, said: Completion, attempt: int | None = None
    ) -> Settled:
        """End a task as its holder says, its last lines first."""
        if len(said.logs) > LOG_LINES:
            raise Problem(413, "too_large", f"A completion has at most {LOG_LINES} log lines")
        fence, masks = await self._known(holder, task_id, said.lease, attempt)
        if said.logs:
            self._lines.pop(task_id, None)  # The lines of a completion are all of them, from the first.
            self._log(holder, task_id, fence, said.logs, masks)
        if (writing := self._writing.get(task_id)) is not None:
            # Reports are written in order. One that is refused is no loss: the end says what holds.
            await asyncio.wait({writing})
        try:
            settled = await self._explained(
                holder, task_id, self._settle(holder, task_id, fence, said, masks)
            )
        except (LeaseLost, ConflictingResult):
            # The task ended without its holder. What it says now changes nothing, and is worth knowing.
            if not await self._work.late.keep(holder, task_id, fence, _outcome(said, masks)):
                raise
            settled = Settled(task_id, (await self._work.get(task_id)).state, late=True)
        self._lines.pop(task_id, None)
        return settled

    async def release(
        self, holder: Holder, task_id: str, lease: int | None, *, begun: bool | None = None
    ) -> Settled:
        """Give a task back; `begun=False` says of an accepted one that nothing of it was done."""
        fence, _ = await self._known(holder, task_id, lease)
        back = self._work.hand_back(holder, task_id, fence, unsent=begun is False)
        return await self._explained(holder, task_id, back)

    async def _settle(
        self, holder: Holder, task_id: str, fence: int, said: Completion, masks: Masks
    ) -> Settled:
        result = masks.hide_json(bytes(said.result).decode())
        if said.success:
            return await self._work.complete(holder, task_id, fence, result)
        if said.cancelled:
            try:
                return await self._work.confirm_cancelled(holder, task_id, fence)
            except NotPossible:
                pass  # It stopped of its own accord: its task has failed.
        error = _error_of(said)
        return await self._work.fail(
            holder,
            task_id,
            fence,
            msgspec.json.encode(_shown(error, result, masks)).decode(),
            retryable=error.retriable and not said.timed_out,
            timed_out=said.timed_out,
        )

    def _log(self, holder: Holder, task_id: str, fence: int, lines: Sequence[Line], masks: Masks) -> Written:
        kept = [self._line(task_id, line, masks) for line in lines]
        return self._write(task_id, self._work.log(holder, task_id, fence, kept))

    def _write(self, task_id: str, report: Coroutine[Any, Any, Standing]) -> Written:
        """Let a report be written with others; who waits for it would hold up the next one."""
        writing = asyncio.create_task(report)
        self._writing[task_id] = writing

        def done(_: Written) -> None:
            if self._writing.get(task_id) is writing:
                del self._writing[task_id]
            if not writing.cancelled():
                writing.exception()  # A refusal that nobody waits for is no news.

        writing.add_done_callback(done)
        return writing

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

    async def _explained(self, holder: Holder, task_id: str, report: Awaitable[T]) -> T:
        """Await a report; raise NotYours where its lease is not valid because it never was the caller's."""
        try:
            return await report
        except LeaseLost:
            if (await self._work.get(task_id)).holder_group != holder.group:
                raise NotYours(task_id) from None
            raise


def _cancelled(task_id: str) -> Problem:
    return Problem(410, "task.cancelled", f"Task {task_id!r} was cancelled; do not begin it")


def _error_of(said: Completion) -> TaskError:
    error = said.error or FAILED
    return TaskError(message=error) if isinstance(error, str) else error


def _shown(error: TaskError, result: str, masks: Masks) -> dict[str, Any]:
    """Write an error as it is kept, with what is known all the same."""
    shown: dict[str, Any] = {
        "type": error.type,
        "message": masks.hide(error.message),
        "retriable": error.retriable,
    }
    return shown if result == "null" else {**shown, "result": msgspec.Raw(result.encode())}


def _outcome(said: Completion, masks: Masks) -> str:
    """Write all that a completion says, as one text."""
    result = masks.hide_json(bytes(said.result).decode())
    told: dict[str, Any] = {"success": said.success}
    if said.success:
        told["result"] = msgspec.Raw(result.encode())
    else:
        told["error"] = _shown(_error_of(said), result, masks)
    return msgspec.json.encode(told).decode()
