"""Claims: holders that ask for tasks and may wait for them.

Theory of operation. A claimer is either awake (it is asking the database) or asleep in the line of those
who offer the same. When a task becomes ready, the first sleeper whose offer suits is woken, and nobody
else: no herd. A claimer that got something wakes the next sleeper for whatever is still flagged, so nothing
is left lying while somebody could take it; one that got nothing goes back to its old place. A flag that
nobody was asleep for is remembered by one who is awake and suits: it asks again before it sleeps. A claimer
that leaves after it was woken passes the wake on. A claim without waiting asks once. Tasks that were leased
for a caller who went away meanwhile are handed back.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, count, islice

from stellwerk.work.forms import Forms
from stellwerk.work.matching import Attributes, matches
from stellwerk.work.requirements import split_queue_key
from stellwerk.work.task import Assignment, Holder
from stellwerk.work.waiting import WaitingQueues

QUEUES_AT_ONCE = 64
"""Queues that one claim looks at: each costs an index look-up."""

LeaseFor = Callable[[Holder, Sequence[str], int], Awaitable[list[Assignment]]]
HandBack = Callable[[Sequence[Assignment]], Awaitable[object]]


class _Claimer:
    def __init__(self, number: int, holder: Holder, attributes: Attributes) -> None:
        self.number = number
        self.holder = holder
        self.attributes = attributes
        self.woken = asyncio.Event()
        self.again = False
        """A task became ready while it was awake."""


_Line = OrderedDict[int, _Claimer]
"""Sleepers by number: in the order in which they came."""


def _take_place(line: _Line, claimer: _Claimer) -> None:
    """Put a claimer into its place.

    One that was woken for nothing came before most who are in the line now.
    """
    last = next(reversed(line), None)
    line[claimer.number] = claimer
    if last is not None and claimer.number < last:
        if claimer.number < next(iter(line)):
            line.move_to_end(claimer.number, last=False)
        else:
            for number in sorted(line):
                line.move_to_end(number)


class Claimers:
    """See the module. All methods belong to the event loop."""

    def __init__(self, waiting: WaitingQueues, forms: Forms, lease: LeaseFor, hand_back: HandBack) -> None:
        self._waiting = waiting
        self._forms = forms
        self._lease = lease
        self._hand_back = hand_back
        self._numbers = count()
        self._asleep: dict[Attributes, _Line] = {}
        self._asleep_of: dict[str, _Line] = {}
        self._awake: dict[int, _Claimer] = {}
        self._handing_back: set[asyncio.Future[object]] = set()
        waiting.on_flag(self._flagged)

    async def claim(
        self, holder: Holder, attributes: Attributes, limit: int, wait_s: float
    ) -> list[Assignment]:
        """Lease up to `limit` tasks; wait up to `wait_s` for the first."""
        if wait_s <= 0 and not self._waiting.named(holder.group) and not self._waiting.shared():
            return []  # Most heartbeats ask, and nothing waits.
        claimer = _Claimer(next(self._numbers), holder, attributes)
        ends_at = asyncio.get_running_loop().time() + wait_s
        got: list[Assignment] = []
        try:
            if wait_s > 0 and self._asleep.get(attributes) and not self._waiting.named(holder.group):
                # Others who offer the same came first: whatever is flagged is theirs.
                await self._sleep(claimer, ends_at)
            while True:
                got = await self._ask(claimer, limit)
                if got or not (self._again(claimer, ends_at) or await self._sleep(claimer, ends_at)):
                    break
        finally:
            passes_on = bool(got) or claimer.again or claimer.woken.is_set()
            self._leave(claimer)
            if passes_on:
                self._wake_for_flagged(claimer)
        return got

    def __len__(self) -> int:
        """Count the claimers that wait."""
        return sum(map(len, self._asleep.values()))

    async def finish(self) -> None:
        """Wait until what was leased for nobody is handed back."""
        if self._handing_back:
            await asyncio.wait(self._handing_back)

    async def _ask(self, claimer: _Claimer, limit: int) -> list[Assignment]:
        self._awake[claimer.number] = claimer
        claimer.again = False
        queue_keys = self._suitable(claimer)
        return await self._take(claimer, queue_keys, limit) if queue_keys else []

    def _again(self, claimer: _Claimer, ends_at: float) -> bool:
        return claimer.again and asyncio.get_running_loop().time() < ends_at

    async def _take(self, claimer: _Claimer, queue_keys: Sequence[str], limit: int) -> list[Assignment]:
        leasing = asyncio.ensure_future(self._lease(claimer.holder, queue_keys, limit))
        try:
            return await asyncio.shield(leasing)
        except asyncio.CancelledError:
            leasing.add_done_callback(self._return)
            raise

    def _return(self, leasing: "asyncio.Future[list[Assignment]]") -> None:
        if leasing.cancelled() or leasing.exception() is not None or not leasing.result():
            return
        task = asyncio.ensure_future(self._hand_back(leasing.result()))
        self._handing_back.add(task)
        task.add_done_callback(self._handing_back.discard)

    async def _sleep(self, claimer: _Claimer, ends_at: float) -> bool:
        """Wait for a wake; False when the time is over."""
        left = ends_at - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        self._awake.pop(claimer.number, None)
        claimer.woken.clear()
        for line in self._lines_of(claimer):
            _take_place(line, claimer)
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: on Python 3.11 it swallows a cancellation that comes with the wake.
            async with asyncio.timeout(left):
                await claimer.woken.wait()
        woken = claimer.woken.is_set()
        if woken:
            claimer.woken.clear()
        return woken

    def _lines_of(self, claimer: _Claimer) -> tuple[_Line, _Line]:
        return (
            self._asleep.setdefault(claimer.attributes, OrderedDict()),
            self._asleep_of.setdefault(claimer.holder.group, OrderedDict()),
        )

    def _leave(self, claimer: _Claimer) -> None:
        self._awake.pop(claimer.number, None)
        self._rise(claimer)

    def _rise(self, claimer: _Claimer) -> None:
        line = self._asleep.get(claimer.attributes)
        if line is not None:
            line.pop(claimer.number, None)
            if not line:
                del self._asleep[claimer.attributes]
        own = self._asleep_of.get(claimer.holder.group)
        if own is not None:
            own.pop(claimer.number, None)
            if not own:
                del self._asleep_of[claimer.holder.group]

    def _flagged(self, queue_key: str, _rank: int | None) -> None:
        if self._wake_first(queue_key):
            return
        for claimer in self._awake.values():
            if not claimer.again and self._suits(claimer, queue_key):
                claimer.again = True
                return

    def _wake_first(self, queue_key: str) -> bool:
        sleeper = self._first_sleeper(queue_key)
        if sleeper is None:
            return False
        self._rise(sleeper)
        self._awake[sleeper.number] = sleeper
        sleeper.woken.set()
        return True

    def _first_sleeper(self, queue_key: str) -> _Claimer | None:
        form_id, group = split_queue_key(queue_key)
        form = self._forms.get(form_id)
        if form is None:
            return None
        if group is not None:
            own = self._asleep_of.get(group)
            return next((one for one in own.values() if matches(form, one.attributes)), None) if own else None
        firsts = (
            next(iter(line.values()))
            for attributes, line in self._asleep.items()
            if matches(form, attributes)
        )
        return min(firsts, key=lambda one: one.number, default=None)

    def _wake_for_flagged(self, claimer: _Claimer) -> None:
        """Wake the next for everything that this one could have taken and that is still flagged."""
        if self._asleep:
            for queue_key in self._suitable(claimer):
                self._wake_first(queue_key)

    def _suitable(self, claimer: _Claimer) -> list[str]:
        keys = chain(self._waiting.named(claimer.holder.group), self._waiting.shared())
        return list(islice((key for key in keys if self._suits(claimer, key)), QUEUES_AT_ONCE))

    def _suits(self, claimer: _Claimer, queue_key: str) -> bool:
        form_id, group = split_queue_key(queue_key)
        form = self._forms.get(form_id)
        return (
            form is not None
            and (group is None or group == claimer.holder.group)
            and matches(form, claimer.attributes)
        )
