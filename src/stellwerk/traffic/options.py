"""Options of agents: what operators say about routing them. Kept in memory, for every call looks at them.

Theory of operation. The table has them; memory follows it. Changes of an agent's options exclude one another
by its row in the registry, so none of them is written over by another replica's. A look that began before a
change was known here says nothing about it, and is taken again. Memory may lack an agent for a moment, the
table does not: it decides what is dropped, and only what stands there as it was read. Options belong to one
registration: whoever takes the name later is somebody else, perhaps, and does not inherit them.
"""

import msgspec
import structlog

from stellwerk.clock import Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.errors import DatabaseUnavailable
from stellwerk.database.unit import Unit
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.service import Fleet
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.loop import Loop
from stellwerk.traffic import store
from stellwerk.traffic.execution import OptionChanges, Options
from stellwerk.traffic.refusals import InvalidOptions
from stellwerk.traffic.store import Kept
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

CHANNEL = "traffic.options"
MOST_CONCURRENCY = 100_000
MOST_METADATA = 65_536
"""Bytes of metadata, and of a supervisor."""
DEFAULT = Options()

_log = structlog.get_logger(__name__)


class AgentOptions:
    """Reads, changes and follows them. Start and stop are idempotent."""

    def __init__(self, database: Database, journal: Journal, fleet: Fleet, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._fleet = fleet
        self._clock = clock
        self._kept: dict[str, Kept] = {}
        self._changes = 0
        self._unlisten: Unlisten | None = None
        self.loop = Loop(CHANNEL, self._follow)
        fleet.on_change(self._changed)

    async def start(self) -> None:
        """Read all, and follow other replicas."""
        if self._unlisten is None:
            self._unlisten = self._database.listen(CHANNEL, self.loop.wake)
            self._kept = await self._database.read(store.read_options)
            self.loop.start()

    async def stop(self) -> None:
        """Follow no more."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await self.loop.stop()

    def of(self, group: str) -> Options:
        """Return what was set for an agent; the defaults if nothing was."""
        kept = self._kept.get(group)
        if kept is None:
            return DEFAULT
        view = self._fleet.get(group)
        return kept.options if view is None or kept.set_at >= view.registered_at else DEFAULT

    async def change(self, principal: Principal, group: str, changes: OptionChanges) -> Options:
        """Change options; durable on return. Raises UnknownAgent, OwnedByAnother, InvalidOptions."""
        view = await self._fleet.get_fresh(group)
        if view is None:
            raise UnknownAgent(group)
        if principal.id != view.owner and not principal.may(Scope.FLEET_ADMIN):
            raise OwnedByAnother(group)
        said = {
            name: value
            for name in OptionChanges.__struct_fields__
            if (value := getattr(changes, name)) is not msgspec.UNSET
        }
        now_us = self._clock.now_us()

        def unit() -> Unit[Kept]:
            registered_at = yield from store.lock_agent(group)
            if registered_at is None:
                raise UnknownAgent(group)
            kept = yield from store.read_options_of(group)
            before = kept.options if kept is not None and kept.set_at >= registered_at else DEFAULT
            # Not before the registration that they belong to, whatever the clock of the other replica was.
            after = Kept(checked(changed(before, changes)), max(now_us, registered_at))
            yield from store.write_options(group, after, principal.id)
            event = Event(
                "agent.options",
                Retention.AUDIT,
                group=group,
                principal=principal.id,
                # Only what they are named: metadata and supervisors may hold what a journal must not keep.
                data=msgspec.json.encode({"changed": sorted(said), **principal.said}).decode(),
            )
            yield from append(event, now_us)
            return after

        after = await self._database.write(unit)
        self._changes += 1
        self._kept[group] = after
        self._journal.committed()
        await self._database.notify(CHANNEL)
        return after.options

    async def look(self) -> None:
        """Drop what is gone, and take over what the table has. Raises DatabaseUnavailable."""
        gone = [(group, kept.set_at) for group, kept in self._kept.items() if self._fleet.get(group) is None]
        if gone:
            await self._database.write(lambda: store.drop_options(gone))
        changes = self._changes
        kept = await self._database.read(store.read_options)
        if changes == self._changes:
            self._kept = kept
        else:
            self.loop.wake()

    def _changed(self, group: str) -> None:
        if group in self._kept and self._fleet.get(group) is None:
            self.loop.wake()

    async def _follow(self) -> None:
        while await self.loop.rest():
            try:
                await self.look()
            except DatabaseUnavailable as unavailable:
                _log.warning("options cannot be followed now", detail=unavailable.detail)
                await self.loop.pause(unavailable.retry_after_s)
                self.loop.wake()


def changed(options: Options, changes: OptionChanges) -> Options:
    """Return the options after a change."""
    sticky, metadata = changes.sticky, changes.metadata
    return Options(
        sticky=options.sticky if sticky is msgspec.UNSET else bool(sticky),
        concurrency=options.concurrency if changes.concurrency is msgspec.UNSET else changes.concurrency,
        supervisor=options.supervisor if changes.supervisor is msgspec.UNSET else changes.supervisor,
        metadata=options.metadata if metadata is msgspec.UNSET else metadata or {},
    )


def checked(options: Options) -> Options:
    """Return the options if they are within their limits. Raises InvalidOptions."""
    if options.concurrency is not None and not 1 <= options.concurrency <= MOST_CONCURRENCY:
        raise InvalidOptions(f"concurrency must be between 1 and {MOST_CONCURRENCY}")
    for name in ("metadata", "supervisor"):
        value = getattr(options, name)
        if value is not None and len(msgspec.json.encode(value)) > MOST_METADATA:
            raise InvalidOptions(f"{name} is larger than {MOST_METADATA} bytes")
    return options
