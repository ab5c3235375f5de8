"""The registry in memory: the directory, kept true to the database and ahead of it by what is batched.

Every change comes in here after its commit and goes on to the listeners. A row read from the database may be
older than what this process has heard since (see `batch`), so reading never takes back a later sign of life.
"""

from collections.abc import Callable, Iterable
from itertools import count

from msgspec.structs import replace

from stellwerk.fleet.batch import Batch
from stellwerk.fleet.directory import Directory
from stellwerk.fleet.health import health_score
from stellwerk.fleet.model import AgentView, InstanceView
from stellwerk.fleet.projection import GroupRecord, project_group, restate

Listener = Callable[[str], None]


class Registry:
    """Applies committed changes to the directory and tells the listeners."""

    def __init__(self, batch: Batch) -> None:
        self.directory = Directory()
        self.get = self.directory.get
        self._batch = batch
        self._revisions = count(1)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Have the listener called with the id of every group that changed; it must not raise."""
        self._listeners.append(listener)

    def apply(self, record: GroupRecord, instances: Iterable[InstanceView]) -> AgentView:
        """Take over a group as the database has it."""
        before = self.get(record.group)
        merged = [self._merged(before, one) for one in instances]
        view = project_group(record, merged, 0 if before is None else before.revision)
        if view == before:
            return before
        view = replace(view, revision=next(self._revisions))
        self.directory.put(view)
        if before is not None:
            self._forget_batched(before, {one.instance for one in view.instances})
        self._tell(view.group)
        return view

    def restate(self, view: AgentView, changed: InstanceView, *, tell: bool) -> AgentView:
        """Put an instance's new state in place; `tell` the listeners if it may matter to them."""
        after = restate(view, changed, next(self._revisions))
        self.directory.put(after)
        if tell:
            self._tell(view.group)
        return after

    def note_history(self, view: AgentView, changed: InstanceView) -> None:
        """Put an instance's new outcomes in place; they are no visible change."""
        self.directory.put(restate(view, changed, view.revision))

    def forget(self, group: str) -> None:
        """Take a group out."""
        view = self.directory.remove(group)
        if view is not None:
            self._forget_batched(view, set())
            self._tell(group)

    def drop_instance(self, view: AgentView, record: GroupRecord, instance: str) -> None:
        """Take one instance out of a group, and the group with the last."""
        left = [one for one in view.instances if one.instance != instance]
        if left:
            self.apply(record, left)
        else:
            self.forget(view.group)

    def _merged(self, before: AgentView | None, one: InstanceView) -> InstanceView:
        mine = (
            None
            if before is None
            else next((own for own in before.instances if own.instance == one.instance), None)
        )
        if before is None or mine is None:
            return one
        later = mine.seen_at > one.seen_at
        if not later and not self._batch.has_load((before.group, one.instance)):
            return one
        return replace(
            one,
            seen_at=max(mine.seen_at, one.seen_at),
            load=mine.load,
            health_score=health_score(one.condition, one.presence, mine.load),
        )

    def _forget_batched(self, before: AgentView, staying: set[str]) -> None:
        gone = [(before.group, one.instance) for one in before.instances if one.instance not in staying]
        if gone:
            self._batch.forget(gone)

    def _tell(self, group: str) -> None:
        for listener in self._listeners:
            listener(group)
