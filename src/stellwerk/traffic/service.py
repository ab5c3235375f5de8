"""The use cases of traffic behind one door: executions, versions, options.

Theory of operation. An execution is a task that is delivered by us (`work.entrusting`): `calling` takes it
on, `router` chooses its way, `delivering` brings it there, `giving` does the same for those that had to wait,
and `watching` takes back what died with its process. What is in memory (flights, rotations, suspensions,
figures) is of this process only: after a kill everything that matters is found in the database.
"""

from collections.abc import Sequence

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.model import NODES, AgentView
from stellwerk.fleet.service import Fleet
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import TrafficSettings
from stellwerk.traffic import functions, store
from stellwerk.traffic.assembling import Ground, assemble
from stellwerk.traffic.dialling import Dialler
from stellwerk.traffic.execution import (
    Call,
    Execution,
    OptionChanges,
    Options,
    Report,
    Reported,
    Target,
    VersionStanding,
)
from stellwerk.traffic.resuming import resume
from stellwerk.traffic.showing import Traits, show_versions
from stellwerk.traffic.weights import standing
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.work.lifecycle import Live
from stellwerk.work.service import Work
from stellwerk.work.states import FINISHED, State


class Traffic:
    """Route calls to versions of agents. Every awaited method may raise DatabaseUnavailable."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        fleet: Fleet,
        work: Work,
        dialler: Dialler,
        *,
        settings: TrafficSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._work = work
        self._settings = settings
        self._clock = clock
        parts = assemble(Ground(database, journal, fleet, work, dialler, settings, clock))
        self._flights = parts.flights
        self._figures = parts.figures
        self._options = parts.options
        self._router = parts.router
        self._watch = parts.watch
        self._calling = parts.calling
        self._giver = parts.giver
        self._launching = parts.launching
        self._departures = parts.departures
        self._reporting = parts.reporting
        self._forgetting = parts.forgetting
        self._started = False
        work.on_released(self._released)
        fleet.on_change(self._changed)

    async def start(self) -> None:
        """Find what is under way and what waits, and go on with it. Idempotent."""
        if self._started:
            return
        self._started = True
        await self._options.start()
        if self._database.engine == "sqlite":
            # Nobody else can have sent them; with replicas, whoever hears of an instance renews its leases.
            await resume(self._database, self._flights, self._fleet.get, self._settings, self._clock)
        for loop in (self._giver.loop, self._watch.loop):
            loop.start()

    async def stop(self) -> None:
        """Give nothing out any more; wait a moment for agents that are answering. Idempotent."""
        if not self._started:
            return
        self._started = False
        await self._giver.loop.stop()
        await self._departures.stop()
        await self._watch.stop()
        await self._launching.stop()
        await self._options.stop()

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return self._giver.loop, self._watch.loop, self._options.loop

    # Calls

    def resolve(self, text: str) -> Target:
        """Find the function that a target (`agent.function`) names: the longest registered id wins.

        Raises UnknownTarget.
        """
        return functions.resolve(text, self._fleet.get, lambda view: self._router.functions(view.group))

    async def execute(self, principal: Principal, call: Call) -> Execution:
        """Call a function and wait for the end, at most `traffic.wait_s`.

        Durable before it is sent. An execution that failed, was cancelled or timed out is returned as well.
        Raises UnknownTarget, UnknownVersion, NoVersion, Overloaded, InvalidCall, KeyConflict, Unreachable,
        TimedOut.
        """
        return await self._calling.execute(principal, call)

    async def begin(self, principal: Principal, call: Call) -> Execution:
        """Take a call on; durable on return, delivered in the background.

        It waits in the queue while no version can take it. Raises UnknownTarget, UnknownVersion, QueueFull,
        InvalidCall, KeyConflict.
        """
        return await self._calling.begin(principal, call)

    async def execution(self, execution_id: str) -> Execution | None:
        """Return an execution; None if there is none (any more)."""
        shown = await self._database.read(lambda: store.read_shown(execution_id))
        return None if shown is None else shown.execution

    async def executions(self, execution_ids: Sequence[str]) -> dict[str, Execution]:
        """Return those of the executions that exist."""
        if not execution_ids:
            return {}
        found = await self._database.read(lambda: store.read_several(execution_ids))
        return {one.id: one for one in found}

    async def cancel(self, principal: Principal, execution_id: str) -> Execution:
        """Cancel an execution that waits, ask the agent of another to stop; return how it now stands.

        Again: the same answer. Raises UnknownExecution, NotYourExecution, AlreadyEnded.
        """
        execution = await self._reporting.cancel(principal, execution_id)
        if not execution.finished:
            self._watch.loop.wake()
        return execution

    # Agents

    async def report(self, principal: Principal, execution_id: str, report: Report) -> Reported:
        """Take what an agent says of an execution; also of an agent that is gone, also twice.

        Raises UnknownExecution, NotYourExecution, AlreadyEnded, ResultTooLarge.
        """
        return await self._reporting.report(principal, execution_id, report)

    def heard(self, group: str, instance: str) -> None:
        """Note a heartbeat of an instance: its executions go on. Call it after `Fleet.heartbeat`."""
        self._watch.heard((group, instance))

    async def depart(self, principal: Principal, group: str, instance: str | None = None) -> None:
        """Take an announced shutdown: no new calls, `traffic.drain_grace_s` to report on what is under way.

        None: one of the group's instances, which one is found out by asking them. Raises UnknownAgent,
        OwnedByAnother.
        """
        view = self._fleet.get(group) or await self._fleet.get_fresh(group)
        if view is None:
            raise UnknownAgent(group)
        if instance is None and len(view.instances) == 1:
            instance = view.instances[0].instance
        if instance is not None:
            await self._leave(principal, group, instance)
            return
        check_owner(principal, view)
        self._watch.leaves(group, None)
        self._departures.find_out(group, lambda group, instance: self._leave(principal, group, instance))

    def leaving(self, group: str, instance: str) -> bool:
        """Tell whether an instance announced its end: what it still says brings it no calls."""
        return instance in self._watch.departed(group)

    def joined(self, group: str, instance: str) -> None:
        """Note that an instance registered, whatever it had announced. Call it after `Fleet.register`."""
        self._watch.back((group, instance))

    # Operators

    def versions(self, group: str) -> list[VersionStanding]:
        """Tell how the versions of an agent stand, oldest first. Raises fleet.errors.UnknownAgent."""
        view = self._fleet.get(group)
        roster = self._router.roster(group)
        if view is None or roster is None:
            raise UnknownAgent(group)
        now_us = self._clock.now_us()
        traits = Traits(
            shares=standing(roster.versions, roster.places.keys()),
            unreachable=self._router.suspended(group),
            departed=self._watch.departed(group),
            figures=lambda version: self._figures.of((group, version), now_us),
            running=lambda version: self._flights.of_version(group, version),
        )
        return show_versions(view, traits)

    def options(self, group: str) -> Options:
        """Return what was set for an agent; the defaults if nothing was."""
        return self._options.of(group)

    async def change_options(self, principal: Principal, group: str, changes: OptionChanges) -> Options:
        """Change options of an agent; durable on return, with an audit event.

        Needs the agent's owner or `fleet:admin`. Raises fleet.errors.UnknownAgent, OwnedByAnother,
        InvalidOptions.
        """
        options = await self._options.change(principal, group, changes)
        self._giver.changed(group)
        return options

    async def _leave(self, principal: Principal, group: str, instance: str) -> None:
        await self._fleet.leave(principal, group, instance, through=NODES)
        self._watch.leaves(group, instance)

    def _released(self, before: Live, after: Live) -> None:
        """Follow an execution that nobody has any more: it ended, or waits again."""
        flight = self._flights.remove(after.task_id)
        if flight is None:
            return
        flight.ended = after
        if after.state in FINISHED and after.state is not State.CANCELLED:
            finished_at = after.finished_at or self._clock.now_us()
            took_ms = max(0, finished_at - (before.started_at or finished_at)) / 1_000
            ok = after.state is State.SUCCEEDED
            self._figures.record((flight.group, flight.version), finished_at, ok=ok, took_ms=took_ms)
        self._giver.changed(flight.group)

    def _changed(self, group: str) -> None:
        self._router.changed(group)
        self._forgetting.changed(group)
        self._giver.changed(group)
        if self._fleet.get(group) is None:
            self._figures.forget(group)


def check_owner(principal: Principal, view: AgentView) -> None:
    """Refuse who neither owns an agent nor administers agents. Raises OwnedByAnother."""
    if principal.id != view.owner and not principal.may(Scope.FLEET_ADMIN):
        raise OwnedByAnother(view.group)
