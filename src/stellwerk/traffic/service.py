"""The use cases of traffic behind one door: executions, versions, options."""

from collections.abc import Sequence

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.fleet.service import Fleet
from stellwerk.journal.service import Journal
from stellwerk.settings import TrafficSettings
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
from stellwerk.trust.principal import Principal
from stellwerk.work.service import Work


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
    ) -> None: ...

    async def start(self) -> None:
        """Find what is under way and what waits, and go on with it. Idempotent."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Give nothing out any more; wait a moment for agents that are answering. Idempotent."""
        raise NotImplementedError

    # Calls

    def resolve(self, text: str) -> Target:
        """Find the function that a target (`agent.function`) names: the longest registered id wins.

        Raises UnknownTarget.
        """
        raise NotImplementedError

    async def execute(self, principal: Principal, call: Call) -> Execution:
        """Call a function and wait for the end, at most `traffic.wait_s`.

        Durable before it is sent. An execution that failed, was cancelled or timed out is returned as well.
        Raises UnknownTarget, UnknownVersion, NoVersion, Overloaded, InvalidCall, KeyConflict, Unreachable,
        TimedOut.
        """
        raise NotImplementedError

    async def begin(self, principal: Principal, call: Call) -> Execution:
        """Take a call on; durable on return, delivered in the background.

        It waits in the queue while no version can take it. Raises UnknownTarget, UnknownVersion, QueueFull,
        InvalidCall, KeyConflict.
        """
        raise NotImplementedError

    async def execution(self, execution_id: str) -> Execution | None:
        """Return an execution; None if there is none (any more)."""
        raise NotImplementedError

    async def executions(self, execution_ids: Sequence[str]) -> dict[str, Execution]:
        """Return those of the executions that exist."""
        raise NotImplementedError

    async def cancel(self, principal: Principal, execution_id: str) -> Execution:
        """Cancel an execution that waits, ask the agent of another to stop; return how it now stands.

        Again: the same answer. Raises UnknownExecution, NotYourExecution, AlreadyEnded.
        """
        raise NotImplementedError

    # Agents

    async def report(self, principal: Principal, execution_id: str, report: Report) -> Reported:
        """Take what an agent says of an execution; also of an agent that is gone, also twice.

        Raises UnknownExecution, NotYourExecution, AlreadyEnded, ResultTooLarge.
        """
        raise NotImplementedError

    def heard(self, group: str, instance: str) -> None:
        """Note a heartbeat of an instance: its executions go on. Call it after `Fleet.heartbeat`."""
        raise NotImplementedError

    async def depart(self, principal: Principal, group: str, instance: str | None = None) -> None:
        """Take an announced shutdown: no new calls, `traffic.drain_grace_s` to report on what is under way.

        None: one of the group's instances, which one is found out by asking them. Raises UnknownAgent,
        OwnedByAnother.
        """
        raise NotImplementedError

    # Operators

    def versions(self, group: str) -> list[VersionStanding]:
        """Tell how the versions of an agent stand, oldest first. Raises fleet.errors.UnknownAgent."""
        raise NotImplementedError

    def options(self, group: str) -> Options:
        """Return what was set for an agent; the defaults if nothing was."""
        raise NotImplementedError

    async def change_options(self, principal: Principal, group: str, changes: OptionChanges) -> Options:
        """Change options of an agent; durable on return, with an audit event.

        Needs the agent's owner or `fleet:admin`. Raises fleet.errors.UnknownAgent, OwnedByAnother,
        InvalidOptions.
        """
        raise NotImplementedError
