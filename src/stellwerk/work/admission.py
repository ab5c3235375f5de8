"""Let tasks into the queue: new ones in shared units of work, ended ones again, up to the limit.

Theory of operation. The limit and the cap on forms are checked before a task is written, so that a flood of
refusals costs no transaction. A form is known here before its first task is durable: whoever looks at the
queue afterwards finds it.
"""

from collections.abc import Callable, Sequence

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.settings import WorkSettings
from stellwerk.work.effects import Effects
from stellwerk.work.forms import Forms
from stellwerk.work.gauge import QueueGauge
from stellwerk.work.grouping import Grouper, groups_under_way
from stellwerk.work.lifecycle import Change
from stellwerk.work.refusals import TooManyForms, WorkRefused
from stellwerk.work.requirements import read_form
from stellwerk.work.submitting import NewTask, submit_tasks
from stellwerk.work.task import Submitted


class Admission:
    """See the module. All methods belong to the event loop and may raise DatabaseUnavailable."""

    def __init__(
        self, database: Database, forms: Forms, effects: Effects, *, settings: WorkSettings, clock: Clock
    ) -> None:
        self._database = database
        self._forms = forms
        self._effects = effects
        self._settings = settings
        self._clock = clock
        self._gauge = QueueGauge(database, settings.queue_limit)
        self._submissions: Grouper[NewTask, Submitted] = Grouper(
            self._write, under_way=groups_under_way(database.engine)
        )

    async def start(self) -> None:
        """Learn how many tasks wait."""
        await self._gauge.read()

    async def finish(self) -> None:
        """Wait until everything that was let in is written."""
        await self._submissions.finish()

    async def submit(self, task: NewTask) -> Submitted:
        """Queue a new task. Raises IdempotencyConflict, QueueFull, TooManyForms."""
        self._know_form(task)
        await self._gauge.admit()
        queued = False
        try:
            submitted = await self._submissions.ask(task)
            queued = not submitted.duplicate
        finally:
            self._gauge.entered(queued=queued)
        return submitted

    async def again(self, requeue: Callable[[], Unit[Change]]) -> Change:
        """Queue an ended task by the given unit. Raises QueueFull, and what the unit raises."""
        await self._gauge.admit()
        queued = False
        try:
            change = await self._database.write(requeue)
            queued = True
        finally:
            self._gauge.entered(queued=queued)
        self._effects.changed([change])
        return change

    def _know_form(self, task: NewTask) -> None:
        if task.form is None or self._forms.get(task.form_id) is not None:
            return
        if len(self._forms) >= self._settings.form_limit:
            raise TooManyForms(self._settings.form_limit)
        self._forms.put(task.form_id, read_form(task.form))

    async def _write(self, tasks: Sequence[NewTask]) -> Sequence[Submitted | Exception]:
        keys_since = self._clock.now_us() - int(self._settings.idempotency_s * MICROSECONDS)
        answers = await self._database.write(
            lambda: submit_tasks(tasks, keys_since), ran=lambda answers: self._ready_early(tasks, answers)
        )
        self._effects.shown({task.queue_key for task in _ready(tasks, answers)})
        self._effects.appended()
        return answers

    def _ready_early(self, tasks: Sequence[NewTask], answers: Sequence[Submitted | WorkRefused]) -> None:
        for task in _ready(tasks, answers):
            self._effects.ready_early(task.queue_key, task.rank_at)


def _ready(tasks: Sequence[NewTask], answers: Sequence[Submitted | WorkRefused]) -> list[NewTask]:
    return [
        task
        for task, answer in zip(tasks, answers, strict=True)
        if isinstance(answer, Submitted) and not answer.duplicate and not task.delayed
    ]
