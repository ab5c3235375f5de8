"""The use cases of the fleet.

Reads are answered from memory. A change is decided and committed in one unit of work, then applied to memory,
then told to the listeners; heartbeat times, loads and outcomes are the exception and are written in batches.
Loops run between `start` and `stop`: one writes batches, one marks the silent, and where replicas share the
database some follow the others. None of them takes input; each looks afresh, and a database that is gone for
a while only makes them late.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import structlog

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.fleet import store
from stellwerk.fleet.batch import Batch
from stellwerk.fleet.carrying import Carried
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.following import LOOK_S, Changed, Following
from stellwerk.fleet.joining import check_registration
from stellwerk.fleet.membership import Membership
from stellwerk.fleet.model import (
    AgentQuery,
    AgentView,
    Condition,
    FleetCounts,
    HeartbeatTaken,
    Registered,
    Registration,
)
from stellwerk.fleet.presence import presence_rules
from stellwerk.fleet.projection import record_of
from stellwerk.fleet.registry import Registry
from stellwerk.fleet.reporting import Reporting
from stellwerk.fleet.silence import Sweep
from stellwerk.fleet.turns import Turns
from stellwerk.journal.event import EventFilter, Recorded
from stellwerk.journal.service import Journal
from stellwerk.settings import FleetSettings
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_EVENTS = EventFilter(kinds=("agent.*",))
_RETRY_S = 1.0
"""Pause before following is taken up again after the database was gone."""


class Fleet:
    """The one registry of agents, whatever interface they joined through."""

    def __init__(self, database: Database, journal: Journal, settings: FleetSettings, clock: Clock) -> None:
        rules = presence_rules(settings)
        batch = Batch()
        turns = Turns()
        carried = Carried()
        registry = Registry(batch)
        reporting = Reporting(
            database, journal, clock, registry=registry, batch=batch, turns=turns, carried=carried
        )
        self._database = database
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._turns = turns
        self._carried = carried
        self._registry = registry
        self._reporting = reporting
        self._sweep = Sweep(database, journal, rules, registry=registry, reporting=reporting, turns=turns)
        self._following = Following(
            database, clock, rules, registry=registry, reporting=reporting, turns=turns
        )
        self._shared = database.engine == "postgres"
        self._started_at = clock.now_us()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the registry; begin to write batches, mark the silent and follow other replicas. Idempotent.

        Everyone gets full intervals again before silence counts. Raises DatabaseUnavailable.
        """
        if self._running is not None:
            return
        self._stopping.clear()
        self._started_at = self._clock.now_us()
        # taken before the load, so that no change falls between the load and the following
        cursor = await self._journal.end()
        await self._load()
        self._running = asyncio.create_task(self._run(cursor), name="fleet")

    async def stop(self) -> None:
        """Stop the loops and write what was batched; what cannot be written is lost. Idempotent."""
        if self._running is None:
            return
        self._stopping.set()
        await self._running
        self._running = None
        await self._carried.settle()
        try:
            await self._reporting.flush()
        except DatabaseUnavailable as error:
            _log.warning("the last heartbeats could not be written", detail=error.detail)

    async def register(self, principal: Principal, registration: Registration) -> Registered:
        """Let an instance join, or join again: registration time, version weights and history stay.

        The instance is then online and active; only `maintenance` outlives a new registration, because an
        operator's drain must survive the restart of the agent. Raises InvalidId, InvalidRegistration,
        OwnedByAnother, DatabaseUnavailable.
        """
        checked = check_registration(registration)
        caller = store.Caller(principal.id, principal.may(Scope.FLEET_ADMIN))
        return await self._carried.through(self._register(caller, checked))

    async def heartbeat(
        self,
        principal: Principal,
        group: str,
        instance: str | None = None,
        load: Mapping[str, float] | None = None,
        condition: Condition | None = None,
        *,
        through: str | None = None,
    ) -> HeartbeatTaken:
        """Take a sign of life of an instance (None: the only one) and its load (None: as reported before).

        Times and loads are written in batches within one second; a change of condition or presence is
        committed before the answer. `through` is the interface that speaks, None for any: who joined through
        another is not its to change. Raises UnknownAgent, OwnedByAnother, DatabaseUnavailable (only where
        something had to be committed).
        """
        view = self._registry.get(group) or await self.get_fresh(group)
        if view is None:
            raise UnknownAgent(group)
        if principal.id != view.owner and not principal.may(Scope.FLEET_ADMIN):
            raise OwnedByAnother(group)
        store.check_way(group, view.joined_through, through)
        return await self._reporting.take(principal.id, view, instance, load, condition)

    async def set_status(
        self,
        principal: Principal,
        group: str,
        condition: Condition,
        load: Mapping[str, float] | None = None,
        instance: str | None = None,
        *,
        through: str | None = None,
    ) -> HeartbeatTaken:
        """Declare a condition, which is a sign of life as well; otherwise like `heartbeat`."""
        return await self.heartbeat(principal, group, instance, load, condition, through=through)

    async def remove(
        self, principal: Principal, group: str, instance: str | None = None, *, through: str | None = None
    ) -> None:
        """Remove a group, or one instance of it; the last instance takes the group with it.

        `through` as for `heartbeat`. Raises UnknownAgent, OwnedByAnother, DatabaseUnavailable.
        """
        caller = store.Caller(principal.id, principal.may(Scope.FLEET_ADMIN), through)
        await self._carried.through(self._remove(caller, group, instance))

    async def take_part(self, group: str, write: Callable[[Membership], Awaitable[T]]) -> T:
        """Let a group join, change or leave as a part of somebody else's unit of work.

        `write` runs that unit, uses the membership in it, and returns after its commit; then memory follows.
        """
        return await self._carried.through(self._take_part(group, write))

    def get(self, group: str) -> AgentView | None:
        """Look a group up in memory."""
        return self._registry.get(group)

    async def get_fresh(self, group: str) -> AgentView | None:
        """Look a group up in memory, and where replicas share the database also there: it may just have
        joined elsewhere.

        Raises DatabaseUnavailable.
        """
        view = self._registry.get(group)
        # PostgreSQL cannot be asked for a text with NUL, and no id holds one
        if view is None and self._shared and group.isprintable():
            await self._following.reread([group])
            view = self._registry.get(group)
        return view

    def find(self, query: AgentQuery) -> list[AgentView]:
        """Find groups, healthiest first, then in order of registration."""
        return self._registry.directory.find(query)

    def counts(self) -> FleetCounts:
        """Count agents by standing and kind, and the distinct capabilities and services."""
        return self._registry.directory.counts()

    def record_outcome(self, group: str, instance: str, ok: bool, response_ms: float) -> None:
        """Note how a task ended with an instance; written and shown in batches. Unknown instances are
        ignored."""
        self._reporting.record_outcome((group, instance), ok, response_ms)

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with the id of every group whose registration, condition, presence or health
        changed, or which was removed. Called on the loop, after the commit; it must not raise."""
        self._registry.listen(callback)

    async def flush(self) -> None:
        """Write the batched heartbeats, loads and outcomes now. Raises DatabaseUnavailable, keeping them."""
        await self._reporting.flush()

    async def sweep(self, now_us: int) -> int:
        """Mark instances late or offline that were not heard from; return how many changes that were.

        Raises DatabaseUnavailable.
        """
        return await self._sweep.run(now_us, self._started_at)

    async def _register(self, caller: store.Caller, checked: Registration) -> Registered:
        async with self._turns.of(checked.group):
            now_us = self._clock.now_us()
            joined = await self._database.write(partial(store.register, caller, checked, now_us))
            self._journal.committed()
            return Registered(self._registry.apply(joined.record, joined.instances), joined.created)

    async def _remove(self, caller: store.Caller, group: str, instance: str | None) -> None:
        async with self._turns.of(group):
            now_us = self._clock.now_us()
            await self._database.write(partial(store.remove, caller, group, instance, now_us))
            self._journal.committed()
            view = self._registry.get(group)
            if view is None or instance is None:
                self._registry.forget(group)
            else:
                self._registry.drop_instance(view, record_of(view), instance)

    async def _take_part(self, group: str, write: Callable[[Membership], Awaitable[T]]) -> T:
        async with self._turns.of(group):
            membership = Membership(group, self._clock.now_us())
            done = await write(membership)
            self._journal.committed()
            joined = membership.joined
            if joined is not None:
                self._registry.apply(joined.record, joined.instances)
            elif membership.left:
                self._registry.forget(group)
            return done

    async def _load(self) -> None:
        page = await self._database.read(partial(store.load_page, ""))
        while page:
            for record, instances in page:
                self._registry.apply(record, instances)
            page = await self._database.read(partial(store.load_page, page[-1][0].group))

    async def _sweep_now(self) -> None:
        await self.sweep(self._clock.now_us())

    async def _run(self, cursor: str) -> None:
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._repeat(self.flush, self._settings.flush_s))
            loops.create_task(self._repeat(self._sweep_now, self._settings.sweep_s))
            followers = []
            if self._shared:
                changed = Changed()
                loops.create_task(self._repeat(self._following.look, LOOK_S))
                followers.append(loops.create_task(self._listen(changed, cursor)))
                followers.append(loops.create_task(self._read_back(changed)))
            await self._stopping.wait()
            # they hold nothing that could be lost
            for follower in followers:
                follower.cancel()

    async def _repeat(self, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        """Take a step again and again until the stop; a step that has begun is finished."""
        while not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), every_s)
            except TimeoutError:
                await self._attempt(step)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except DatabaseUnavailable as error:
            _log.warning("the fleet could not be brought up to date", detail=error.detail)
        except Exception:
            _log.exception("a loop of the fleet failed; it goes on")
        else:
            return True
        return False

    async def _listen(self, changed: Changed, cursor: str) -> None:
        """Announce every group that the journal names behind the cursor."""
        while True:
            stream = self._journal.subscribe(_EVENTS, cursor)
            try:
                async for event in stream:
                    cursor = event.cursor
                    if isinstance(event, Recorded) and event.group is not None:
                        changed.announce(event.group)
            except DatabaseUnavailable as error:
                _log.warning("other replicas cannot be followed now", detail=error.detail)
            finally:
                stream.close()
            await asyncio.sleep(_RETRY_S)

    async def _read_back(self, changed: Changed) -> None:
        while True:
            groups = await changed.take()
            if not await self._attempt(partial(self._following.reread, groups)):
                for group in groups:
                    changed.announce(group)
                await asyncio.sleep(_RETRY_S)
