"""Marking those who fell silent: late, then offline.

The database decides, by its index of presence and last sign of life: batches are written first, so it knows
what every replica has heard but for their last batch. Marking is conditional and skips locked rows, so
replicas may sweep side by side, and each change is journalled once. A heartbeat that arrives while its sender
is being marked is seen afterwards, when memory turns out to have heard it later than the database; the
instance is then brought back by a commit of its own.
"""

from functools import partial

from msgspec.structs import replace

from stellwerk.database.database import Database
from stellwerk.fleet.health import health_score
from stellwerk.fleet.model import Presence
from stellwerk.fleet.presence import Paces, last_heard_limit
from stellwerk.fleet.registry import Registry
from stellwerk.fleet.reporting import Reporting
from stellwerk.fleet.reports import Silence, Silent, any_silent, mark_silent
from stellwerk.fleet.turns import Turns
from stellwerk.journal.service import Journal

SWEEP_ROWS = 200
"""Instances marked in one unit: short enough for others to slip in between when a whole site goes dark."""

# in this order, so that who is offline at once was late before: nobody skips an event
_STEPS = ((Presence.ONLINE, Presence.LATE), (Presence.LATE, Presence.OFFLINE))


class Sweep:
    """Marks the silent."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        paces: Paces,
        *,
        registry: Registry,
        reporting: Reporting,
        turns: Turns,
    ) -> None:
        self._database = database
        self._journal = journal
        self._paces = paces
        self._registry = registry
        self._reporting = reporting
        self._turns = turns

    async def run(self, now_us: int, started_at: int) -> int:
        """Mark everyone whose silence says so; return how many changes that were. Raises
        DatabaseUnavailable."""
        await self._reporting.flush()
        changes = 0
        for was, worse in _STEPS:
            for dialled, rules in ((True, self._paces.dialled), (False, self._paces.usual)):
                heard_until = last_heard_limit(worse, now_us, rules, started_at)
                if heard_until is not None:
                    silent = Silence(was, heard_until, dialled)
                    changes += await self._mark(silent, worse, now_us)
        return changes

    async def _mark(self, silence: Silence, worse: Presence, now_us: int) -> int:
        changes = 0
        while await self._database.read(partial(any_silent, silence)):
            unit = partial(mark_silent, silence, worse, SWEEP_ROWS, now_us)
            marked = await self._database.write(unit)
            if not marked:
                # all that is left is locked by others; the next sweep looks again
                break
            self._journal.committed()
            changes += len(marked)
            for one in marked:
                await self._apply(one, now_us)
        return changes

    async def _apply(self, marked: Silent, now_us: int) -> None:
        # whoever is reading the group back may have read it before the mark, and must put it in place first
        async with self._turns.of(marked.group):
            view = self._registry.get(marked.group)
            one = None if view is None else view.instance(marked.instance)
            if view is None or one is None:
                return
            if one.seen_at <= marked.seen_at:
                score = health_score(one.condition, marked.presence, one.load)
                silent = replace(one, presence=marked.presence, health_score=score, updated_at=now_us)
                self._registry.restate(view, silent, tell=True)
                return
        await self._reporting.bring_back(marked.group, marked.instance)
