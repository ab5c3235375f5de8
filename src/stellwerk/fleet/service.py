"""The use cases of the fleet.

Reads are answered from memory. A change is decided and committed in one unit of work, then applied to memory,
then told to the listeners; heartbeat times, loads and outcomes are the exception and are written in batches.
Loops run between `start` and `stop`: one writes batches, one marks the silent, and where replicas share the
database some follow the others. None of them takes input; each looks afresh, and a database that is gone for
a while only makes them late.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
    WeightsSet,
)
from stellwerk.fleet.presence import paces
from stellwerk.fleet.projection import record_of
from stellwerk.fleet.registry import Registry
from stellwerk.fleet.reporting import Reporting
from stellwerk.fleet.silence import Sweep
from stellwerk.fleet.turns import Turns
from stellwerk.journal.event import EventFilter, Recorded
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
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

    def __init__(
        self,
        database: Database,
        journal: Journal,
        settings: FleetSettings,
        clock: Clock,
        *,
        node_interval_s: float = 2.0,
    ) -> None:
        rules = paces(settings, node_interval_s)
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
        self._listening = Loop("fleet.listen", self._listen)
        self._rereading = Loop("fleet.reread", self._read_back)
        self._changed = Changed(self._rereading.wake)
        self._cursor = ""
        self._loops = self._make_loops()
        self._started = False

    async def start(self) -> None:
        """Load the registry; begin to write batches, mark the silent and follow other replicas. Idempotent.

        Everyone gets full intervals again before silence counts. Raises DatabaseUnavailable.
        """
        if self._started:
            return
        self._started = True
        self._started_at = self._clock.now_us()
        # taken before the load, so that no change falls between the load and the following
        self._cursor = await self._journal.end()
        await self._load()
        for loop in self._loops:
            loop.start()

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return self._loops

    async def stop(self) -> None:
        """Stop the loops and write what was batched; what cannot be written is lost. Idempotent."""
        if not self._started:
            return
        self._started = False
        await asyncio.gather(*(loop.stop() for loop in self._loops))
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
        view = await self.get_with(group, instance=instance)
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

    async def leave(
        self, principal: Principal, group: str, instance: str, *, through: str | None = None
    ) -> None:
        """Take the good-bye of an instance: offline at once, inactive until it says otherwise.

        `through` as for `heartbeat`. Raises UnknownAgent, OwnedByAnother.
        """
        view = await self.get_with(group, instance=instance)
        if view is None:
            raise UnknownAgent(group)
        if principal.id != view.owner and not principal.may(Scope.FLEET_ADMIN):
            raise OwnedByAnother(group)
        store.check_way(group, view.joined_through, through)
        await self._reporting.leave(principal.id, group, instance)

    async def set_weights(
        self, principal: Principal, group: str, weights: Mapping[str, int], expected: str | None = None
    ) -> WeightsSet:
        """Set the weights of some versions, all or none; the others keep theirs.

        `expected` is the `tag` of the weights that the caller saw, None for whatever they are. Needs the
        group's owner or `fleet:admin`. Raises UnknownAgent, UnknownVersion, OwnedByAnother, InvalidWeight,
        WeightsChanged.
        """
        caller = store.Caller(principal.id, principal.may(Scope.FLEET_ADMIN), said=principal.said)
        return await self._carried.through(self._set_weights(caller, group, weights, expected))

    async def remove_version(self, principal: Principal, group: str, version: str) -> None:
        """Remove a version with its instances and its weight; the group with its last instance.

        Raises UnknownAgent, UnknownVersion, OwnedByAnother.
        """
        caller = store.Caller(principal.id, principal.may(Scope.FLEET_ADMIN), said=principal.said)
        await self._carried.through(self._remove_version(caller, group, version))

    async def take_part(self, group: str, write: Callable[[Membership], Awaitable[T]]) -> T:
        """Let a group join, change or leave as a part of somebody else's unit of work.

        `write` runs that unit, uses the membership in it, and returns after its commit; then memory follows.
        """
        return await self._carried.through(self._take_part(group, write))

    def get(self, group: str) -> AgentView | None:
        """Look a group up in memory."""
        return self._registry.get(group)

    async def get_with(
        self, group: str, *, instance: str | None = None, version: str | None = None
    ) -> AgentView | None:
        """Look a group up in memory, and where replicas share the database also there if memory lacks the
        group, or the instance or version of it that is meant: it may just have joined elsewhere.

        Raises DatabaseUnavailable.
        """
        view = self._registry.get(group)
        if view is None:
            return await self.get_fresh(group)
        known = (instance is None or view.instance(instance) is not None) and (
            version is None or any(one.version == version for one in view.versions)
        )
        if not known and self._shared:
            await self._following.reread([group])
            view = self._registry.get(group)
        return view

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

    async def _set_weights(
        self, caller: store.Caller, group: str, weights: Mapping[str, int], expected: str | None
    ) -> WeightsSet:
        async with self._turns.of(group):
            now_us = self._clock.now_us()
            unit = partial(store.set_weights, caller, group, weights, expected, now_us)
            done, record = await self._database.write(unit)
            self._journal.committed()
            view = self._registry.get(group)
            if view is not None:
                self._registry.apply(record, view.instances)
            return done

    async def _remove_version(self, caller: store.Caller, group: str, version: str) -> None:
        async with self._turns.of(group):
            now_us = self._clock.now_us()
            unit = partial(store.remove_version, caller, group, version, now_us)
            record, left = await self._database.write(unit)
            self._journal.committed()
            if left:
                self._registry.apply(record, left)
            else:
                self._registry.forget(group)

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

    def _make_loops(self) -> Sequence[Loop]:
        settings = self._settings
        # A step that has begun is finished: it holds what would be lost.
        own = (
            self._repeated("fleet.flush", self.flush, settings.flush_s),
            self._repeated("fleet.sweep", self._sweep_now, settings.sweep_s),
        )
        if not self._shared:
            return own
        return (
            *own,
            self._repeated("fleet.look", self._following.look, LOOK_S),
            self._listening,
            self._rereading,
        )

    def _repeated(self, name: str, step: Callable[[], Awaitable[None]], every_s: float) -> Loop:
        async def repeat() -> None:
            while await loop.rest(every_s):
                try:
                    await step()
                except DatabaseUnavailable as error:
                    _log.warning("the fleet could not be brought up to date", detail=error.detail)

        loop = Loop(name, repeat, finishes=True)
        return loop

    async def _listen(self) -> None:
        """Announce every group that the journal names behind the cursor."""
        while await self._listening.rest(0.0):
            stream = self._journal.subscribe(_EVENTS, self._cursor)
            try:
                await stream.start()
                self._listening.waits()
                async for event in stream:
                    self._cursor = event.cursor
                    if isinstance(event, Recorded) and event.group is not None:
                        self._changed.announce(event.group)
            except DatabaseUnavailable as error:
                _log.warning("other replicas cannot be followed now", detail=error.detail)
            finally:
                stream.close()
            await self._listening.pause(_RETRY_S)

    async def _read_back(self) -> None:
        while await self._rereading.rest():
            groups, done = self._changed.take(), False
            try:
                await self._following.reread(groups)
                done = True
            except DatabaseUnavailable as error:
                _log.warning("the fleet could not be brought up to date", detail=error.detail)
                await self._rereading.pause(_RETRY_S)
            finally:
                for group in () if done else groups:
                    self._changed.announce(group)
