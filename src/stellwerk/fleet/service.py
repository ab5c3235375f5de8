"""The use cases of the fleet."""

from collections.abc import Callable, Mapping

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.fleet.model import (
    AgentQuery,
    AgentView,
    Condition,
    FleetCounts,
    HeartbeatTaken,
    Registered,
    Registration,
)
from stellwerk.journal.service import Journal
from stellwerk.settings import FleetSettings
from stellwerk.trust.principal import Principal


class Fleet:
    """The one registry. Reads are answered from memory; changes are committed before they are answered."""

    def __init__(self, database: Database, journal: Journal, settings: FleetSettings, clock: Clock) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Load the registry and begin to write batches, sweep presence and follow other replicas. Idempotent."""

    async def stop(self) -> None:
        """Stop the loops and write what was batched. Idempotent."""

    async def register(self, principal: Principal, registration: Registration) -> Registered:
        """Let an instance join, or join again: registration time, version weights and history stay.

        The instance is then online and active; only `maintenance` outlives a new registration, because an operator's drain
        must survive the restart of the agent. Raises InvalidId, InvalidRegistration, OwnedByAnother, DatabaseUnavailable.
        """
        raise NotImplementedError

    async def heartbeat(
        self,
        principal: Principal,
        group: str,
        instance: str | None = None,
        load: Mapping[str, float] | None = None,
        condition: Condition | None = None,
    ) -> HeartbeatTaken:
        """Take a sign of life; `load` replaces the reported load, None keeps it.

        Times and loads are written in batches within one second; a change of condition or presence is committed before the
        answer. Raises UnknownAgent, OwnedByAnother, DatabaseUnavailable (only where something had to be committed).
        """
        raise NotImplementedError

    async def set_status(
        self,
        principal: Principal,
        group: str,
        condition: Condition,
        load: Mapping[str, float] | None = None,
        instance: str | None = None,
    ) -> HeartbeatTaken:
        """Declare a condition; otherwise like `heartbeat`."""
        raise NotImplementedError

    async def remove(self, principal: Principal, group: str, instance: str | None = None) -> None:
        """Remove a group, or one instance of it; the last instance takes the group with it.

        Raises UnknownAgent, OwnedByAnother, DatabaseUnavailable.
        """

    def get(self, group: str) -> AgentView | None:
        """Look a group up in memory."""
        raise NotImplementedError

    async def get_fresh(self, group: str) -> AgentView | None:
        """Look a group up in memory, and in the database where another replica may just have registered it."""
        raise NotImplementedError

    def find(self, query: AgentQuery) -> list[AgentView]:
        """Find groups, healthiest first, then in order of registration."""
        raise NotImplementedError

    def counts(self) -> FleetCounts:
        """Count agents by standing and kind, and the distinct capabilities and services."""
        raise NotImplementedError

    def record_outcome(self, group: str, instance: str, ok: bool, response_ms: float) -> None:
        """Note how a task ended with an instance; written in batches. Unknown instances are ignored."""

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with the id of a group whose registration, condition, presence or health changed, or which
        was removed. Called on the loop, after the commit."""

    async def flush(self) -> None:
        """Write the batched heartbeats, loads and outcomes now. Raises DatabaseUnavailable, keeping them."""

    async def sweep(self, now_us: int) -> int:
        """Mark instances late or offline that were not heard from; return how many changed."""
        raise NotImplementedError
