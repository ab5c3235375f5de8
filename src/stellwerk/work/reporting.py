"""What holders report while they work: progress, log lines, signs of life.

Theory of operation. Reports are the one thing that is answered before it is durable if the caller does not
wait: they are merged in memory and written in one unit, at once after a quiet while, else `flush_s` apart,
so a second's worth at most is lost by a kill. Each report proves its lease when it is written, and whoever
awaits it learns the truth. A report on a task that was only delivered also starts it: it proves that the
holder has begun. Progress is the highest value of the attempt. Log lines carry the worker's numbers, so a
line that is sent again is kept once.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from stellwerk.database.unit import Many, PerEngine, Sql, Unit
from stellwerk.work import lifecycle
from stellwerk.work.lease import Terms
from stellwerk.work.lifecycle import Change, Live, prove_lease
from stellwerk.work.refusals import LeaseLost, UnknownTask, WorkRefused
from stellwerk.work.states import ACTIVE, State
from stellwerk.work.store import load_live, write_changes
from stellwerk.work.task import Holder, LogLine

LONGEST_NOTE = 1_000
"""Characters of a progress note; the rest is cut."""
CUT = " … (cut)"

_INSERT_LINE = """
INSERT INTO task_logs (task_id, attempt, seq, at, level, line) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (task_id, attempt, seq) DO NOTHING"""
_LOG_SIZE = PerEngine(
    "SELECT COALESCE(SUM(LENGTH(CAST(line AS BLOB))), 0) FROM task_logs WHERE task_id = $1",
    "SELECT COALESCE(SUM(OCTET_LENGTH(line)), 0) FROM task_logs WHERE task_id = $1",
)
# Extends only what has lost a third of its time: most signs of life need no write. The sums keep the planner
# on the index over holders, who have few leases, whatever it thinks of the one over instants.
_RENEW_HOLDER = """
UPDATE tasks SET lease_expires_at = CASE WHEN timeout_us IS NULL OR started_at + timeout_us > $3 THEN $3
ELSE started_at + timeout_us END
WHERE holder_group = $1 AND holder_instance = $2 AND finished_at IS NULL AND state = 'running'
AND lease_expires_at + 0 < $4 AND (timeout_us IS NULL OR lease_expires_at + 0 < started_at + timeout_us)"""
_SHORTEN = """
UPDATE tasks SET lease_expires_at = $3
WHERE holder_group = $1 AND holder_instance = $2 AND finished_at IS NULL
AND lease_expires_at + 0 > $3"""


class Report(Struct, frozen=True, gc=False):
    """Progress, lines, or both, of one attempt."""

    holder: Holder
    task_id: str
    fence: int
    fraction: float | None = None
    note: str | None = None
    lines: tuple[LogLine, ...] = ()


class LogLimits(Struct, frozen=True, gc=False):
    """Bounds of logs in bytes."""

    line: int
    task: int


class LogSizes:
    """How long the logs of tasks are that were written to lately, so that they need not be measured for
    every line.
    """

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._sizes: dict[str, int] = {}

    def get(self, task_id: str) -> int | None:
        return self._sizes.get(task_id)

    def put(self, task_id: str, size: int) -> None:
        self._sizes.pop(task_id, None)
        self._sizes[task_id] = size
        if len(self._sizes) > self._most:
            del self._sizes[next(iter(self._sizes))]

    def forget(self, task_id: str) -> None:
        self._sizes.pop(task_id, None)


def take_reports(
    reports: Sequence[Report], now_us: int, terms: Terms, limits: LogLimits, sizes: dict[str, int]
) -> Unit[list[Change | WorkRefused]]:
    """Write the reports in order. `sizes` has the known sizes of logs in bytes and is given the new ones."""
    tasks = yield from load_live(list({report.task_id for report in reports}))
    answers: list[Change | WorkRefused] = []
    for report in reports:
        task = tasks.get(report.task_id)
        if task is None:
            answers.append(UnknownTask(report.task_id))
            continue
        try:
            change = Change(task, reported(task, report, now_us, terms))
        except WorkRefused as refused:
            answers.append(refused)
            continue
        tasks[task.task_id] = change.after
        answers.append(change)
        if report.lines:
            yield from _keep_lines(change.after, report.lines, now_us, limits, sizes)
    yield from write_changes([answer for answer in answers if isinstance(answer, Change)], [], now_us)
    return answers


def reported(task: Live, report: Report, now_us: int, terms: Terms) -> Live:
    """Return the task after a report. Raises LeaseLost. A task that is to stop is told so and not renewed."""
    prove_lease(task, report.holder, report.fence)
    if task.state not in ACTIVE:
        raise LeaseLost(task.task_id, task.state)
    held = task if task.state is State.CANCELLING else lifecycle.start(task, now_us, terms)
    if report.fraction is None:
        return held
    fraction = max(0.0, min(1.0, report.fraction), held.progress or 0.0)
    note = held.progress_note if report.note is None else report.note[:LONGEST_NOTE]
    if fraction == held.progress and note == held.progress_note:
        return held
    return replace(held, progress=fraction, progress_note=note)


def cut_line(line: str, limit: int) -> str:
    """Return the line within `limit` bytes of UTF-8, marked where it was cut."""
    data = line.encode()
    if len(data) <= limit:
        return line
    return data[: max(0, limit - len(CUT.encode()))].decode(errors="ignore") + CUT


def renew_holders(holders: Sequence[Holder], now_us: int, terms: Terms) -> Unit[None]:
    """Renew the running leases of these holders, where a third of their time has passed."""
    until, worth = now_us + terms.running_us, now_us + terms.running_us * 2 // 3
    yield Many(_RENEW_HOLDER, [(group, instance, until, worth) for group, instance in sorted(holders)])


def shorten_leases(holders: Sequence[Holder], until: int) -> Unit[None]:
    """Let the leases of these holders end by `until` at the latest."""
    yield Many(_SHORTEN, [(group, instance, until) for group, instance in sorted(holders)])


def _keep_lines(
    task: Live, lines: Sequence[LogLine], now_us: int, limits: LogLimits, sizes: dict[str, int]
) -> Unit[None]:
    size = sizes.get(task.task_id)
    if size is None:
        size = int((yield Sql(_LOG_SIZE, (task.task_id,)))[0][0])
    rows = []
    for line in lines:
        if size > limits.task:
            break
        text = cut_line(line.line, limits.line)
        size += len(text.encode())
        if size > limits.task:
            text = f"The log has reached its limit of {limits.task} bytes; what follows is not kept"
        rows.append((task.task_id, task.attempt, line.seq, line.at or now_us, line.level, text))
    sizes[task.task_id] = size
    if rows:
        yield Many(_INSERT_LINE, rows)
