"""Which of the waiting queues to look at next, when there may be very many of them.

Theory of operation. A queue that waits is *open* (it should be looked at), *taken* (a lease unit is looking
at it) or *blocked* (nobody with room matches it). Open queues are taken in the order of a lower bound of the
rank of their heads: ranks within a queue only grow, except by a task that is flagged, and the flag says its
rank. So the oldest task of all is among those looked at, however many queues wait, and none starves. A
blocked queue costs nothing until somebody comes to have room: it is filed under the trait that it asks for
and fewest have, and found by the traits of who has room.
"""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

from stellwerk.work.traits import Trait

UNKNOWN_RANK = -(1 << 62)
"""Of a queue that has not been looked at: before all others, so that its rank becomes known."""

_Heap = list[tuple[int, str]]


class Backlog:
    """The waiting queues. `asked_by` names one trait that whoever takes from a queue must have."""

    def __init__(self, asked_by: Callable[[str], Trait]) -> None:
        self._asked_by = asked_by
        self._rank: dict[str, int] = {}
        self._open: _Heap = []
        self._blocked: dict[Trait, _Heap] = {}
        self._blocked_by: dict[str, Trait] = {}
        self._taken: dict[str, int | None] = {}
        """Taken queues with the lowest rank that was flagged since; None: none was."""

    def flag(self, queue_key: str, rank: int | None) -> bool:
        """Note a ready task; tell whether there is now something new to look at."""
        rank = UNKNOWN_RANK if rank is None else rank
        if queue_key in self._taken:
            since = self._taken[queue_key]
            self._taken[queue_key] = rank if since is None else min(since, rank)
            return False
        known = self._rank.get(queue_key)
        if known is not None and known <= rank:
            return False
        self._rank[queue_key] = rank
        trait = self._blocked_by.get(queue_key)
        if trait is not None:
            heappush(self._blocked[trait], (rank, queue_key))
            return False
        heappush(self._open, (rank, queue_key))
        return True

    def take(self) -> str | None:
        """Take the open queue whose head may be the oldest; `open`, `block` or `drop` must follow."""
        while self._open:
            rank, queue_key = heappop(self._open)
            if self._is_valid(rank, queue_key) and queue_key not in self._blocked_by:
                self._taken[queue_key] = None
                return queue_key
        return None

    def open(self, queue_key: str, rank: int) -> None:
        """Give back a taken queue that has more to lease; no head of it ranks before `rank`."""
        self._put(queue_key, rank)
        heappush(self._open, (self._rank[queue_key], queue_key))

    def block(self, queue_key: str, rank: int) -> None:
        """Give back a taken queue that nobody with room matches; its head has this rank."""
        self._put(queue_key, rank)
        trait = self._blocked_by[queue_key] = self._asked_by(queue_key)
        heappush(self._blocked.setdefault(trait, []), (self._rank[queue_key], queue_key))

    def drop(self, queue_key: str) -> None:
        """Give back a taken queue that was found empty; if it was flagged since, it is open again."""
        since = self._taken.pop(queue_key)
        if since is None:
            del self._rank[queue_key]
        else:
            self._rank[queue_key] = since
            heappush(self._open, (since, queue_key))

    def unblock(self, traits: Iterable[Trait], suits: Callable[[str], bool], limit: int) -> bool:
        """Open blocked queues that suit who has these traits, oldest first, at most `limit` a trait.

        Return whether there may be more.
        """
        more = False
        for trait in traits:
            heap = self._blocked.get(trait)
            if heap is not None:
                more |= self._unblock(trait, heap, suits, limit)
                if not heap:
                    del self._blocked[trait]
        return more

    def lowest(self, queue_key: str) -> int:
        """Return the lower bound of a waiting queue's head."""
        return self._rank[queue_key]

    def has_open(self) -> bool:
        """Tell whether there may be something to take."""
        return bool(self._open)

    def __len__(self) -> int:
        return len(self._rank)

    def _put(self, queue_key: str, rank: int) -> None:
        since = self._taken.pop(queue_key)
        self._rank[queue_key] = rank if since is None else min(rank, since)

    def _unblock(self, trait: Trait, heap: _Heap, suits: Callable[[str], bool], limit: int) -> bool:
        unsuited: _Heap = []
        while heap and limit:
            rank, queue_key = heappop(heap)
            if self._blocked_by.get(queue_key) != trait or not self._is_valid(rank, queue_key):
                continue
            if suits(queue_key):
                del self._blocked_by[queue_key]
                heappush(self._open, (rank, queue_key))
                limit -= 1
            else:
                unsuited.append((rank, queue_key))
        more = bool(heap)
        heap += unsuited
        heapify(heap)
        return more

    def _is_valid(self, rank: int, queue_key: str) -> bool:
        return queue_key not in self._taken and self._rank.get(queue_key) == rank
