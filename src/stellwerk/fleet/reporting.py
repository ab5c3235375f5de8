"""Reports of agents: heartbeats, loads, conditions, outcomes.

A heartbeat of an agent that is online and says nothing new of its condition changes memory only and is
written with the next batch. Anything else is committed first. What of a batch cannot be written is put back
and goes with the next.
"""

import asyncio
from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Value
from stellwerk.fleet.batch import Batch, Key, Outcomes, Taken
from stellwerk.fleet.carrying import Carried
from stellwerk.fleet.errors import UnknownAgent
from stellwerk.fleet.health import health_score
from stellwerk.fleet.model import (
    DEFAULT_INSTANCE,
    AgentView,
    Condition,
    HeartbeatTaken,
    InstanceView,
    Presence,
)
from stellwerk.fleet.registry import Registry
from stellwerk.fleet.reports import Report, Rows, leave, report, write_heard, write_loads, write_outcomes
from stellwerk.fleet.rows import to_json
from stellwerk.fleet.turns import Turns
from stellwerk.journal.service import Journal

BATCH_ROWS = 250
"""Rows of one unit: about a millisecond for the loop and for the writer, so that others slip in between."""
_NEWEST_SHARE = 0.2
"""Weight of the newest response time in the moving average: about the last ten tasks count."""


class Reporting:
    """Takes reports and writes them, at once or in batches."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        clock: Clock,
        *,
        registry: Registry,
        batch: Batch,
        turns: Turns,
        carried: Carried,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._registry = registry
        self._batch = batch
        self._turns = turns
        self._carried = carried
        self._flushing = asyncio.Lock()

    async def take(
        self,
        principal: str,
        view: AgentView,
        instance: str | None,
        load: Mapping[str, float] | None,
        condition: Condition | None,
    ) -> HeartbeatTaken:
        """Take a report of an instance. Raises UnknownAgent, DatabaseUnavailable."""
        one = _named(view, instance)
        if one.presence is Presence.ONLINE and (condition is None or condition is one.condition):
            now_us = self._clock.now_us()
            return HeartbeatTaken(now_us, self._hear(view, one, now_us, load))
        said = Report(view.group, one.instance, condition, load)
        return await self._carried.through(self._commit(principal, said))

    async def leave(self, principal: str, group: str, instance: str) -> None:
        """Take the good-bye of an instance. Raises UnknownAgent, DatabaseUnavailable."""
        await self._carried.through(self._leave(principal, group, instance))

    async def _leave(self, principal: str, group: str, instance: str) -> None:
        async with self._turns.of(group):
            now_us = self._clock.now_us()
            await self._database.write(lambda: leave(principal, group, instance, now_us))
            self._journal.committed()
            view = self._registry.get(group)
            one = None if view is None else view.instance(instance)
            if view is not None and one is not None:
                score = health_score(Condition.INACTIVE, Presence.OFFLINE, one.load)
                left = replace(
                    one,
                    condition=Condition.INACTIVE,
                    presence=Presence.OFFLINE,
                    updated_at=now_us,
                    health_score=score,
                )
                self._registry.restate(view, left, tell=True)

    async def bring_back(self, group: str, instance: str) -> None:
        """Commit that an instance is online: it was heard while the database, or another replica, marked it
        silent."""
        try:
            await self._commit(None, Report(group, instance))
        except UnknownAgent:
            return

    def record_outcome(self, key: Key, ok: bool, response_ms: float) -> None:
        """Note how a task ended; unknown instances are ignored."""
        one = self._instance(key)
        if one is None:
            return
        outcomes = self._batch.outcomes_of(key, one.response_ms)
        if ok:
            outcomes.succeeded += 1
        else:
            outcomes.failed += 1
        before = outcomes.response_ms or response_ms
        outcomes.response_ms = before + _NEWEST_SHARE * (response_ms - before)

    async def flush(self) -> None:
        """Write what is batched. Raises DatabaseUnavailable, keeping what is not written."""
        async with self._flushing:
            taken = self._batch.take()
            try:
                await self._write_reports(taken)
                await self._write_outcomes(taken)
            except BaseException:
                self._batch.put_back(taken)
                raise

    def _hear(
        self, view: AgentView, one: InstanceView, now_us: int, load: Mapping[str, float] | None
    ) -> AgentView:
        key = (view.group, one.instance)
        # another replica's clock may be ahead
        seen_at = max(now_us, one.seen_at)
        if load is None:
            self._batch.heard(key)
            return self._registry.restate(view, replace(one, seen_at=seen_at), tell=False)
        self._batch.loaded(key)
        score = health_score(one.condition, one.presence, load)
        heard = replace(one, seen_at=seen_at, load=dict(load), health_score=score)
        return self._registry.restate(view, heard, tell=score != one.health_score)

    async def _commit(self, principal: str | None, said: Report) -> HeartbeatTaken:
        async with self._turns.of(said.group):
            now_us = self._clock.now_us()
            condition, seen_at = await self._database.write(lambda: report(principal, said, now_us))
            self._journal.committed()
            # looked up only now: heartbeats do not wait for turns
            view = self._registry.get(said.group)
            if view is None:
                raise UnknownAgent(said.group)
            one = _named(view, said.instance)
            load = one.load if said.load is None else dict(said.load)
            heard = replace(
                one,
                condition=condition,
                presence=Presence.ONLINE,
                seen_at=max(seen_at, one.seen_at),
                updated_at=now_us,
                load=load,
                health_score=health_score(condition, Presence.ONLINE, load),
            )
            return HeartbeatTaken(now_us, self._registry.restate(view, heard, tell=True))

    async def _write_reports(self, taken: Taken) -> None:
        keys = sorted(taken.heard)
        for start in range(0, len(keys), BATCH_ROWS):
            heard: list[tuple[Value, ...]] = []
            loaded: list[tuple[Value, ...]] = []
            # rows are made part by part too: thousands at once would hold up the loop
            for key in keys[start : start + BATCH_ROWS]:
                one = self._instance(key)
                if one is None:
                    continue
                if key in taken.loaded:
                    loaded.append((*key, one.seen_at, to_json(one.load), one.health_score))
                else:
                    heard.append((*key, one.seen_at))
            if heard:
                await self._database.write(partial(write_heard, heard))
            if loaded:
                await self._database.write(partial(write_loads, loaded))

    async def _write_outcomes(self, taken: Taken) -> None:
        # part by part, each forgotten once written: unlike times and loads, sums must not be written twice
        waiting = sorted(taken.outcomes.items())
        for start in range(0, len(waiting), BATCH_ROWS):
            part = waiting[start : start + BATCH_ROWS]
            rows: Rows = [(*key, one.succeeded, one.failed, one.response_ms) for key, one in part]
            # What is read back between the sums' commit and their counting here would miss or double them.
            async with self._turns.of_all(key[0] for key, _ in part):
                await self._database.write(partial(write_outcomes, rows))
                for key, outcomes in part:
                    del taken.outcomes[key]
                    self._count(key, outcomes)

    def _count(self, key: Key, outcomes: Outcomes) -> None:
        view, one = self._registry.get(key[0]), self._instance(key)
        if view is not None and one is not None:
            history = replace(
                one,
                succeeded=one.succeeded + outcomes.succeeded,
                failed=one.failed + outcomes.failed,
                response_ms=outcomes.response_ms,
            )
            self._registry.note_history(view, history)

    def _instance(self, key: Key) -> InstanceView | None:
        view = self._registry.get(key[0])
        return None if view is None else view.instance(key[1])


def _named(view: AgentView, instance: str | None) -> InstanceView:
    one = view.instance(instance)
    if one is None:
        raise UnknownAgent(view.group, instance or DEFAULT_INSTANCE)
    return one
