"""Which queues may have ready tasks: flags in memory, never the tasks themselves.

Theory of operation. A flag is a hint that may be wrong in one direction only: a queue with ready tasks is
flagged; a flagged one may be empty. A queue is flagged as soon as who takes from it, in a unit of work
handed in from then on, finds the task there: on SQLite before the commit that made the task ready, so that
taking it may share that commit. Who only reads is called back after the commit. A flag is cleared when a
peek in the database found the queue empty, unless it was flagged again since the peek began: that is what
`revision` is for. Take it before the peek and hand it to `drained`. All calls come from the event loop.
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
        self._takers: list[Listener] = []
        self._lookers: list[Callable[[str], None]] = []
        self._deliverers: list[Callable[[str], None]] = []

    def on_delivered(self, listener: Callable[[str], None]) -> None:
        """Call back with the group whose tasks wait to be delivered to it; such queues are not flagged."""
        self._deliverers.append(listener)

    def on_flag(self, listener: Listener) -> None:
        """Call back those who take, once per task that became ready; it must not block."""
        self._takers.append(listener)

    def on_shown(self, listener: Callable[[str], None]) -> None:
        """Call back those who look, with the key of a queue that readers find a new task in."""
        self._lookers.append(listener)

    def flag(self, queue_key: str, rank_at: int | None = None) -> None:
        """Note that a task of this queue is ready for everybody.

        Its rank (None: unknown) lets the dispatcher keep the order.
        """
        self.flag_early(queue_key, rank_at)
        self.show(queue_key)

    def show(self, queue_key: str) -> None:
        """Note the commit of a task that was flagged early."""
        form_id, group = split_queue_key(queue_key)
        if form_id == DELIVERED:
            for deliverer in self._deliverers:
                deliverer(group or "")
            return
        for looker in self._lookers:
            looker(queue_key)

    def flag_early(self, queue_key: str, rank_at: int | None = None) -> None:
        """Note a task that is ready for who takes it in a unit of work; `show` follows its commit."""
        form_id, group = split_queue_key(queue_key)
        if form_id == DELIVERED:
            return
        self.revision += 1
        flags = self._shared if group is None else self._named.setdefault(group, {})
        flags[queue_key] = self.revision
        for taker in self._takers:
            taker(queue_key, rank_at)

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
