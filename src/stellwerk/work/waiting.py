"""Which queues may have ready tasks: flags in memory, never the tasks themselves.

Theory of operation. A flag is a hint that may be wrong in one direction only: a queue with ready tasks is
flagged; a flagged one may be empty. A queue is flagged after the commit that made a task ready. It is
cleared when a peek in the database found it empty, unless it was flagged again since the peek began: that
is what `revision` is for. Take it before the peek and hand it to `drained`. All calls come from the event
loop.
"""

from collections.abc import Callable, Collection, Iterable

from stellwerk.work.requirements import DELIVERED, split_queue_key

Listener = Callable[[str, int | None], None]
"""Is told the queue key, and the rank of the task that became ready if it is known."""


class WaitingQueues:
    """The flagged queues.

    Those of a named group are kept apart, so that nobody else has to look through them.
    """

    def __init__(self) -> None:
        self.revision = 0
        """Grows with every flag."""
        self._shared: dict[str, int] = {}
        self._named: dict[str, dict[str, int]] = {}
        self._listeners: list[Listener] = []
        self._deliverers: list[Callable[[str], None]] = []

    def on_delivered(self, listener: Callable[[str], None]) -> None:
        """Call back with the group whose tasks wait to be delivered to it; such queues are not flagged."""
        self._deliverers.append(listener)

    def on_flag(self, listener: Listener) -> None:
        """Call back for every flag, once per task that became ready; it must not block."""
        self._listeners.append(listener)

    def flag(self, queue_key: str, rank_at: int | None = None) -> None:
        """Note that a task of this queue became ready.

        Its rank (None: unknown) lets the dispatcher keep the order.
        """
        form_id, group = split_queue_key(queue_key)
        if form_id == DELIVERED:
            for deliverer in self._deliverers:
                deliverer(group or "")
            return
        self.revision += 1
        flags = self._shared if group is None else self._named.setdefault(group, {})
        flags[queue_key] = self.revision
        for listener in self._listeners:
            listener(queue_key, rank_at)

    def drained(self, queue_keys: Iterable[str], revision: int) -> None:
        """Clear queues that a peek found empty which began when `revision` was current."""
        for queue_key in queue_keys:
            group = split_queue_key(queue_key)[1]
            flags = self._shared if group is None else self._named.get(group, {})
            if flags.get(queue_key, revision + 1) <= revision:
                del flags[queue_key]
                if group is not None and not flags:
                    del self._named[group]

    def is_flagged(self, queue_key: str) -> bool:
        group = split_queue_key(queue_key)[1]
        return queue_key in (self._shared if group is None else self._named.get(group, ()))

    def shared(self) -> Collection[str]:
        """Return the flagged queues that many may take from: their keys are form ids. A live view."""
        return self._shared.keys()

    def named(self, group: str) -> Collection[str]:
        """Return the flagged queues of one named group. A live view."""
        return self._named.get(group, {}).keys()

    def named_groups(self) -> Collection[str]:
        """Return the groups that have flagged queues of their own. A live view."""
        return self._named.keys()
