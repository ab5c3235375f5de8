"""Restarting agents: asking instances to end, and watching whether they come back.

Theory of operation. A restart is a row. Asking for one checks it against the rules (`restart.py`), writes the
row with its audit event, and wakes the loop. Each turn of the loop reads the open rows and the fleet afresh,
decides the next state of each, writes it over the revision that it was made of (of several replicas one
wins), and acts only if it won (`restart_asking.py`). So an instance is asked once; a process that is killed
between the writing and the asking leaves a restart that times out, and says so. The loop is woken by changes
of the fleet, and looks by itself every second while something is open. Where replicas share the database,
each looks now and then whether another has left something open.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec
import structlog
from msgspec.structs import replace

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Unit
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent, UnknownVersion
from stellwerk.fleet.model import AgentView
from stellwerk.fleet.service import Fleet
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.loop import Loop
from stellwerk.settings import ConnectorSettings
from stellwerk.traffic import restart_store as store
from stellwerk.traffic.dialling import Dialler
from stellwerk.traffic.execution import Options
from stellwerk.traffic.restart import (
    Container,
    Restart,
    RestartRefused,
    RestartState,
    UnknownRestart,
    asked,
    check_spare,
    container_of,
    ended,
    look,
    plan_restart,
    starts,
    supervisor_of,
)
from stellwerk.traffic.restart_asking import ASK_LIMIT_S, Asking, CannotAsk
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.service import Work

LOOK_S = 1.0
IDLE_LOOK_S = 10.0
LISTED = 100
NOTHING: Mapping[str, str] = MappingProxyType({})

log = structlog.get_logger(__name__)


class Restarting:
    """Restarts agents. Every awaited method may raise DatabaseUnavailable."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        fleet: Fleet,
        work: Work,
        dialler: Dialler,
        *,
        options: Callable[[str], Options],
        settings: ConnectorSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._journal = journal
        self._fleet = fleet
        self._asking = Asking(dialler, fleet, work)
        self._options = options
        self._settings = settings
        self._clock = clock
        self._limit_us = int(settings.restart_s * MICROSECONDS)
        self._open: set[str] = set()
        self._moved = asyncio.Event()
        self._listening = False
        self.loop = Loop("traffic.restarts", self._watch, turn_s=ASK_LIMIT_S + 30.0)

    async def start(self) -> None:
        """Go on watching what is open; may be called more than once."""
        if not self._listening:
            self._listening = True
            self._fleet.on_change(self._changed)
        self.loop.start()

    async def stop(self) -> None:
        """Stop watching; what is open is watched again after the next start. May be called more than once."""
        await self.loop.stop()

    async def request(
        self, principal: Principal, group: str, version: str | None, *, force: bool = False
    ) -> Restart:
        """Ask for the restart of a version of an agent, or (None) of all of it; durable on return.

        `force` restarts what has no known supervisor, and the last healthy instance. Raises UnknownAgent,
        UnknownVersion, OwnedByAnother, RestartRefused.
        """
        view = await self._view(principal, group, version)
        supervisor = supervisor_of(view, self._options(group).supervisor, self._settings.supervised)
        steps = plan_restart(view, version, lambda version: container_of(supervisor, version))
        if not force:
            unsupervised = [step.version for step in steps if not starts(supervisor, step.version)]
            if unsupervised:
                of = f"version {unsupervised[0]} of agent {group}"
                raise RestartRefused("no_supervisor", f"Nobody is known to start {of} again")
            check_spare(view, steps)
        now_us = self._clock.now_us()
        restart = Restart(
            restart_id=f"rst_{secrets.token_hex(8)}",
            group=group,
            version=version,
            state=RestartState.REQUESTED,
            detail=None,
            steps=steps,
            known=tuple(one.instance for one in view.instances),
            requested_by=principal.id,
            requested_at=now_us,
            deadline_at=now_us + self._limit_us,
        )
        if not await self._database.write(lambda: _insert(restart, principal.said, now_us)):
            raise RestartRefused("restart_under_way", f"Agent {group} is being restarted already")
        self._journal.committed()
        self._open.add(group)
        self.loop.wake()
        return restart

    async def get(self, group: str, restart_id: str) -> Restart:
        """Return a restart of an agent. Raises UnknownRestart."""
        found = await self._database.read(lambda: store.read_restart(restart_id))
        if found is None or found.group != group:
            raise UnknownRestart(f"Agent {group} has no restart {restart_id}")
        return found

    async def list(self, group: str) -> list[Restart]:
        """List the last restarts of an agent, newest first."""
        return await self._database.read(lambda: store.restarts_of(group, LISTED))

    async def wait(self, restart: Restart, wait_s: float) -> Restart:
        """Wait up to `wait_s` for the end of a restart; return how it then stands. Raises UnknownRestart."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        found = restart
        while found.finished_at is None and (left_s := until - loop.time()) > 0:
            moved = self._moved
            try:
                async with asyncio.timeout(min(left_s, LOOK_S)):
                    await moved.wait()
            except TimeoutError:
                pass  # Another replica may have moved it.
            found = await self.get(restart.group, restart.restart_id)
        return found

    async def _view(self, principal: Principal, group: str, version: str | None) -> AgentView:
        view = await self._fleet.get_with(group, version=version)
        if view is None:
            raise UnknownAgent(group)
        if version is not None and all(one.version != version for one in view.versions):
            raise UnknownVersion(group, version)
        if principal.id != view.owner and not principal.may(Scope.FLEET_ADMIN):
            raise OwnedByAnother(group)
        return view

    def _changed(self, group: str) -> None:
        if group in self._open:
            self.loop.wake()

    async def _watch(self) -> None:
        shared = self._database.engine == "postgres"
        going = True
        while going:
            try:
                restarts = await self._database.read(store.open_restarts)
                self._open = {one.group for one in restarts}
                await asyncio.gather(*(self._move(one) for one in restarts))
            except DatabaseUnavailable as error:
                log.warning("restarts are not watched", detail=error.detail)
            idle_s = IDLE_LOOK_S if shared else None
            going = await self.loop.rest(LOOK_S if self._open else idle_s)

    async def _move(self, restart: Restart) -> None:
        """Bring one restart as far as it can go now."""
        now_us = self._clock.now_us()
        after = look(restart, self._fleet.get(restart.group), now_us)
        step = after.current
        if after.finished_at is None and step is not None and step.task_id is not None:
            failure = await self._asking.failure_of(step.task_id)
            if failure is not None:
                after = ended(after, RestartState.FAILED, failure, now_us)
        written = restart if after is restart else await self._write(restart, after)
        if written is not None and written.finished_at is None:
            step = written.current
            if step is not None and step.asked_at is None:
                await self._ask(written)

    async def _ask(self, restart: Restart) -> None:
        """Ask the instance of the present step to end, having written that it is asked."""
        begun = await self._write(restart, asked(restart, self._clock.now_us(), self._limit_us))
        if begun is None or (step := begun.current) is None:
            return
        try:
            task_id = await self._asking.ask(begun, step, self._container(restart.group, step.version))
        except CannotAsk as error:
            await self._write(begun, ended(begun, RestartState.FAILED, str(error), self._clock.now_us()))
            return
        if task_id is not None:
            await self._write(begun, asked(begun, self._clock.now_us(), self._limit_us, task_id))

    def _container(self, group: str, version: str) -> Container | None:
        view = self._fleet.get(group)
        if view is None:
            return None
        declared = self._options(group).supervisor
        return container_of(supervisor_of(view, declared, self._settings.supervised), version)

    async def _write(self, before: Restart, after: Restart) -> Restart | None:
        """Write the next state of a restart; None if another replica was first."""
        now_us = self._clock.now_us()
        next_one = replace(after, revision=before.revision + 1)
        if not await self._database.write(lambda: _update(before, next_one, now_us)):
            return None
        if next_one.finished_at is not None:
            self._journal.committed()
        self._moved.set()
        self._moved = asyncio.Event()
        return next_one


def _insert(restart: Restart, said: Mapping[str, str], now_us: int) -> Unit[bool]:
    if not (yield from store.insert_restart(restart)):
        return False
    yield from append(_event("agent.restart_requested", restart, said), now_us)
    return True


def _update(before: Restart, after: Restart, now_us: int) -> Unit[bool]:
    if not (yield from store.update_restart(before.revision, after)):
        return False
    if after.finished_at is not None and before.finished_at is None:
        yield from append(_event(_ENDS[after.state], after), now_us)
    return True


def _event(kind: str, restart: Restart, said: Mapping[str, str] = NOTHING) -> Event:
    data = {
        "restart_id": restart.restart_id,
        "version": restart.version,
        "instances": {step.instance: step.replaced_by for step in restart.steps},
        "detail": restart.detail,
        **said,
    }
    text = msgspec.json.encode(data).decode()
    return Event(kind, Retention.AUDIT, group=restart.group, principal=restart.requested_by, data=text)


_ENDS = {
    RestartState.RESTARTED: "agent.restarted",
    RestartState.TIMED_OUT: "agent.restart_timed_out",
    RestartState.FAILED: "agent.restart_failed",
}
