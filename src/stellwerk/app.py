"""Assembly: settings → database → subjects → interfaces → listeners, and the way back.

The only place that knows every name. Sockets are bound first, so that a busy port is known before anything is
touched; they accept connections last, when everything behind them runs. Stopping goes the other way round: no
new work is handed out, requests and streams end, batches are written, the database is closed.
"""

import asyncio
import contextlib
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from stellwerk.clock import Clock, SystemClock
from stellwerk.database.database import Database, open_database
from stellwerk.database.errors import DatabaseLocked, DatabaseTooNew, DatabaseUnavailable, MigrationChanged
from stellwerk.database.unit import Add, Unit
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.fleet.service import Fleet
from stellwerk.http.access import access_of
from stellwerk.http.audit import RefusalAudit
from stellwerk.http.auth import Authentication
from stellwerk.http.binding import Bound, CannotBind, bind_all
from stellwerk.http.body import Bodies
from stellwerk.http.gate import Gate, Interface
from stellwerk.http.listener import Listener, Serving
from stellwerk.http.meter import Meter
from stellwerk.http.outbound import Outbound
from stellwerk.http.protocol import Connections
from stellwerk.http.tls import Tls
from stellwerk.interfaces import coordinator, deployment, operations
from stellwerk.interfaces.operations import Component, Gauge
from stellwerk.journal.pruning import Pruner
from stellwerk.journal.service import Journal
from stellwerk.settings import Settings
from stellwerk.trust.authority.roots import RootUnusable
from stellwerk.trust.certificates.service import LOOPBACK, Identities
from stellwerk.trust.service import Keys
from stellwerk.trust.vault.cipher import KeyUnusable, load_key
from stellwerk.trust.vault.service import Secrets
from stellwerk.work.service import Work


class CannotStart(Exception):
    """The control plane cannot start; the message says what would help."""


class ControlPlane:
    """One process of the control plane."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._running = contextlib.AsyncExitStack()
        self._listeners: list[Listener] = []

    @property
    def listeners(self) -> dict[str, str]:
        """Addresses by listener name."""
        return {listener.name: listener.url for listener in self._listeners}

    async def start(self) -> None:
        """Start everything, or leave nothing running. Raises CannotStart, DatabaseUnavailable."""
        async with contextlib.AsyncExitStack() as starting:
            bound = [starting.enter_context(one) for one in self._bind()]
            tls = await self._start_tls(starting)
            database = await self._open_database(starting)
            await self._start_subjects(starting, database, bound, tls)
            self._running = starting.pop_all()

    async def stop(self) -> None:
        """Stop everything in order; may be called more than once."""
        await self._running.aclose()

    def _bind(self) -> list[Bound]:
        try:
            return bind_all(self._settings)
        except CannotBind as error:
            raise CannotStart(str(error)) from error

    async def _stop_listeners(self) -> None:
        await asyncio.gather(*(listener.stop() for listener in self._listeners))

    async def _start_tls(self, starting: contextlib.AsyncExitStack) -> Tls | None:
        files = self._settings.tls
        if files.certificate is None or files.key is None:
            return None
        return await self._watch_tls(starting, files.certificate, files.key)

    async def _watch_tls(self, starting: contextlib.AsyncExitStack, certificate: Path, key: Path) -> Tls:
        try:
            tls = Tls(certificate, key)
        except OSError as error:
            raise CannotStart(f"{certificate} and {key} cannot be used for TLS: {error}") from error
        await tls.start()
        starting.push_async_callback(tls.stop)
        return tls

    @staticmethod
    def _ask_for_certificates(starting: contextlib.AsyncExitStack, tls: Tls, identities: Identities) -> None:
        """Let listeners trust the agents' roots, whichever they are at the time."""
        tls.trust(identities.agent_ca)
        starting.callback(identities.on_trust_changed(lambda: tls.trust(identities.agent_ca)))

    async def _open_database(self, starting: contextlib.AsyncExitStack) -> Database:
        settings = self._settings
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            database = await open_database(
                settings.database.url, data_dir=settings.data_dir, settings=settings.database
            )
        except (DatabaseTooNew, DatabaseLocked, MigrationChanged, DatabaseUnavailable) as error:
            raise CannotStart(str(error)) from error
        starting.push_async_callback(database.close)
        return database

    async def _start_subjects(
        self,
        starting: contextlib.AsyncExitStack,
        database: Database,
        bound: Sequence[Bound],
        tls: Tls | None,
    ) -> None:
        settings, clock = self._settings, self._clock
        journal = Journal(database, settings.journal, clock)
        starting.push_async_callback(journal.stop)
        keys = Keys(database, journal, settings.access, clock)
        fleet = Fleet(database, journal, settings.fleet, clock)
        work = Work(database, journal, fleet, settings.work, clock)
        audit = RefusalAudit(journal, clock)
        pruner = Pruner(database, journal, clock, holder=uuid.uuid4().hex)
        outbound = Outbound(settings.outbound)
        for subject in (keys, fleet, work, audit, pruner, outbound):
            await subject.start()
            starting.push_async_callback(subject.stop)

        identities, secrets = await self._start_trust(starting, database, journal)
        if tls is None and any(one.secure for one in bound):
            tls = await self._watch_tls(
                starting, identities.server_certificate, identities.server_certificate
            )
        if tls is not None:
            self._ask_for_certificates(starting, tls, identities)
        deployments = Deployments(database, journal, fleet, identities, settings=settings.fleet, clock=clock)
        await deployments.start()

        meter = Meter()
        agents = coordinator.build(
            fleet=fleet,
            work=work,
            journal=journal,
            database=database,
            outbound=outbound,
            clock=clock,
            fleet_settings=settings.fleet,
            work_settings=settings.work,
            outbound_settings=settings.outbound,
            observer=meter,
            still_valid=keys.still_valid,
        )
        machines = deployment.build(
            deployments=deployments,
            identities=identities,
            secrets=secrets,
            work=work,
            database=database,
            clock=clock,
            limits=settings.limits,
            work_settings=settings.work,
            observer=meter,
        )
        upkeep = operations.build(
            fleet=fleet,
            work=work,
            journal=journal,
            keys=keys,
            clock=clock,
            meter=meter,
            components=[_database_component(database)],
            gauges=[Gauge(*figure) for part in (agents, machines) for figure in part.figures()],
            documents={"coordinator": agents.document, "deployment": machines.document},
        )
        gates = {
            "main": (agents.interface, machines.interface, upkeep.interface),
            "tls": (agents.interface, machines.interface, upkeep.interface),
            "coordinator": (agents.compat,),
            "metrics": (upkeep.metrics,),
        }
        shared = _Shared(settings, Authentication(keys, settings.limits, clock), audit, clock)
        self._listeners = [
            shared.listener(one, gates[one.name], upkeep.interface, tls if one.secure else None)
            for one in bound
        ]
        starting.push_async_callback(self._stop_listeners)
        for listener in self._listeners:
            await listener.start()
        for part in (agents, machines):
            await part.start()
            starting.push_async_callback(part.stop, settings.server.stop_timeout_s)
        is_open = access_of("main", settings.server.host, settings.server, settings.access).open
        if not is_open and (token := await keys.bootstrap()):
            # The one secret that is ever printed: without it nobody could make the first key.
            sys.stderr.write(f"Bootstrap API key (shown once): {token}\n")

    async def _start_trust(
        self, starting: contextlib.AsyncExitStack, database: Database, journal: Journal
    ) -> tuple[Identities, Secrets]:
        settings, clock = self._settings, self._clock
        names = (*LOOPBACK, settings.server.host, *settings.server.names)
        identities = Identities(
            database,
            journal,
            settings.trust,
            settings.data_dir,
            clock,
            server_names=tuple(dict.fromkeys(names)),
        )
        folder = settings.trust.authority_dir or settings.data_dir / "authority"
        try:
            await identities.start()
            starting.push_async_callback(identities.stop)
            # Beside the roots, because replicas share that folder.
            key = await asyncio.to_thread(load_key, folder / "secrets.key")
        except (RootUnusable, KeyUnusable, OSError) as error:
            raise CannotStart(str(error)) from error
        return identities, Secrets(database, journal, key, clock)


class _Shared:
    """What all listeners have in common."""

    def __init__(
        self, settings: Settings, authentication: Authentication, audit: RefusalAudit, clock: Clock
    ) -> None:
        self._settings = settings
        self._authentication = authentication
        self._audit = audit
        self._bodies = Bodies(settings.limits)
        self._serving = Serving(
            settings.limits,
            settings.access,
            Connections(settings.limits.connections),
            settings.server.stop_timeout_s,
            clock,
        )

    def listener(
        self, bound: Bound, interfaces: Sequence[Interface], upkeep: Interface, tls: Tls | None
    ) -> Listener:
        settings = self._settings
        gate = Gate(
            access_of(bound.name, settings.server.host, settings.server, settings.access),
            interfaces,
            fallback=upkeep.render_problem,
            authentication=self._authentication,
            bodies=self._bodies,
            audit=self._audit,
        )
        return Listener(bound.name, bound.socket, gate, self._serving, tls)


def _database_component(database: Database) -> Component:
    async def check() -> str | None:
        try:
            # A write, because a full disk or a lost leader still answers reads.
            await database.write(_touch)
        except DatabaseUnavailable as error:
            return error.detail
        return None

    return Component("database", check)


def _touch() -> Unit[None]:
    yield Add("ready.checks", 1)
