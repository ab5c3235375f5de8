"""Options of agents: what operators say about routing them. Kept in memory, for every call looks at them."""

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
        self._options: dict[str, Options] = {}
        self._unlisten: Unlisten | None = None
        self.loop = Loop(CHANNEL, self._follow)
        fleet.on_change(self._changed)

    async def start(self) -> None:
        """Read all, and follow other replicas."""
        if self._unlisten is None:
            self._unlisten = self._database.listen(CHANNEL, self.loop.wake)
            self._options = await self._database.read(store.read_options)
            self.loop.start()

    async def stop(self) -> None:
        """Follow no more."""
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        await self.loop.stop()

    def of(self, group: str) -> Options:
        """Return what was set for an agent; the defaults if nothing was."""
        return self._options.get(group, DEFAULT)

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

        def unit() -> Unit[Options]:
            before = yield from store.read_options_of(group)
            after = checked(changed(before, changes))
            yield from store.write_options(group, after, principal.id, now_us)
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
        self._options[group] = after
        self._journal.committed()
        await self._database.notify(CHANNEL)
        return after

    def _changed(self, group: str) -> None:
        if group in self._options and self._fleet.get(group) is None:
            self.loop.wake()

    async def _follow(self) -> None:
        while await self.loop.rest():
            try:
                await self._drop_gone()
                self._options = await self._database.read(store.read_options)
            except DatabaseUnavailable as unavailable:
                _log.warning("options cannot be followed now", detail=unavailable.detail)
                await self.loop.pause(unavailable.retry_after_s)
                self.loop.wake()

    async def _drop_gone(self) -> None:
        # Whoever registers under the name later is somebody else, perhaps.
        for group in [group for group in self._options if self._fleet.get(group) is None]:
            if await self._fleet.get_fresh(group) is None:
                await self._database.write(lambda group=group: store.drop_options(group))  # type: ignore[misc]


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
