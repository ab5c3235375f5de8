"""Switch the balancing strategy: for good, for every replica, on record.

The choice is a row of the settings in the database. A switch writes it together with its audit event and
then takes it up from there, as do the other replicas when the notification reaches them; of two switches at
once everybody ends up with the one that was committed last.
"""

import msgspec
import structlog

from stellwerk.clock import Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Sql, Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.store import append
from stellwerk.loop import Loop
from stellwerk.trust.principal import Principal
from stellwerk.work.balancing.catalogue import UnknownStrategy, strategy_named
from stellwerk.work.balancing.strategy import StrategyName
from stellwerk.work.seats import Seats

SETTING = "work.strategy"
"""Name of the row, and of the channel that tells of its change."""

_READ = "SELECT value FROM settings_kv WHERE name = $1"
_WRITE = """
INSERT INTO settings_kv (name, value, updated_at) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at"""

_log = structlog.get_logger(__name__)


class BalancerStatistics(msgspec.Struct, frozen=True):
    """What is shown of the balancing. Counters run since the database was made, over all replicas."""

    strategy: StrategyName
    total_assignments: int
    """Leases that were given, by dispatch or by claim; a task that was given twice counts twice."""
    successful_assignments: int
    """Attempts that succeeded."""
    failed_assignments: int
    """Attempts that failed or were lost."""
    success_rate: float
    """Successful among those that ended one way or the other, 0 to 1; 0 while there are none."""
    active_agents: int
    """Holders connected to this replica that accept work, busy ones included."""
    agent_weights: int
    """How many of those connected asked for a weight other than 1."""
    avg_agent_load: float
    """Leases held by those connected, divided by how many they are; 0 while nobody is."""


def read_strategy() -> Unit[str | None]:
    """Return the name that was switched to last, None if nobody ever did."""
    rows = yield Sql(_READ, (SETTING,))
    return rows[0][0] if rows else None


def write_strategy(principal: Principal, name: StrategyName, now_us: int) -> Unit[None]:
    """Record the switch and who made it."""
    before = yield from read_strategy()
    yield Sql(_WRITE, (SETTING, name.value, now_us))
    data = msgspec.json.encode({"old": before, "new": name.value}).decode()
    yield from append(
        Event("balancer.strategy_switched", Retention.AUDIT, principal=principal.id, data=data), now_us
    )


class Balancing:
    """Load, switch and publish the strategy in use. Start and stop are idempotent."""

    def __init__(self, database: Database, seats: Seats, clock: Clock) -> None:
        self._database = database
        self._seats = seats
        self._clock = clock
        self.loop = Loop("work.balancing", self._follow)
        self._unlisten: Unlisten | None = None

    @property
    def strategy(self) -> StrategyName:
        """The strategy that chooses now."""
        return self._seats.strategy

    async def start(self) -> None:
        """Take up the strategy that was switched to last, and follow switches made by other replicas."""
        if self._unlisten is None:
            self._unlisten = self._database.listen(SETTING, self.loop.wake)
            await self._take_up()
            self.loop.start()

    async def stop(self) -> None:
        """Follow no more."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await self.loop.stop()

    async def switch(self, principal: Principal, name: str) -> StrategyName:
        """Switch for good: durable, and in force here, on return. Raises UnknownStrategy."""
        wanted = strategy_named(name)
        now_us = self._clock.now_us()
        await self._database.write(lambda: write_strategy(principal, wanted, now_us))
        self.loop.wake()  # Should the caller go away now, the strategy is taken up all the same.
        await self._take_up()
        await self._database.notify(SETTING)
        return wanted

    async def statistics(self) -> BalancerStatistics:
        """Return the figures of now."""
        counters = await self._database.counters("work.")
        good, bad = counters.get("work.assigned_ok", 0), counters.get("work.assigned_failed", 0)
        seats, figures = len(self._seats), self._seats.figures()
        return BalancerStatistics(
            strategy=self.strategy,
            total_assignments=counters.get("work.distributed", 0),
            successful_assignments=good,
            failed_assignments=bad,
            success_rate=good / (good + bad) if good + bad else 0.0,
            active_agents=figures.accepting,
            agent_weights=figures.weighted,
            avg_agent_load=figures.active / seats if seats else 0.0,
        )

    async def _take_up(self) -> None:
        stored = await self._database.read(read_strategy)
        if stored is None:
            return
        try:
            await self._seats.switch(strategy_named(stored))
        except UnknownStrategy:
            _log.warning("the stored balancing strategy is not known to this release", strategy=stored)

    async def _follow(self) -> None:
        while await self.loop.rest():
            try:
                await self._take_up()
            except DatabaseUnavailable as refusal:
                await self.loop.pause(refusal.retry_after_s)
                self.loop.wake()
