"""Assembly: settings → database → subjects → interfaces → listeners, and the way back.

The only place that knows every name. Sockets are bound first, so that a busy port is known before anything is
touched; they accept connections last, when everything behind them runs. Stopping goes the other way round: no
new work is handed out, requests and streams end, batches are written, the database is closed.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from stellwerk import __version__
from stellwerk.clock import Clock, SystemClock
from stellwerk.database.database import Database, open_database
from stellwerk.database.errors import DatabaseLocked, DatabaseTooNew, DatabaseUnavailable, MigrationChanged
from stellwerk.database.unit import Add, Unit
from stellwerk.fleet.service import Fleet
from stellwerk.http.access import access_of, is_loopback
from stellwerk.http.audit import RefusalAudit
from stellwerk.http.auth import Authentication
from stellwerk.http.body import Bodies
from stellwerk.http.gate import Gate, Interface
from stellwerk.http.listener import Listener, Serving, bind
from stellwerk.http.meter import Meter
from stellwerk.http.outbound import Outbound
from stellwerk.http.protocol import Connections
from stellwerk.http.tls import Tls
from stellwerk.interfaces import coordinator, operations
from stellwerk.interfaces.operations import Component, Gauge
from stellwerk.journal.pruning import Pruner
from stellwerk.journal.service import Journal
from stellwerk.logs import configure_logs
from stellwerk.settings import ServerSettings, Settings
from stellwerk.trust.service import Keys
from stellwerk.work.service import Work

log = structlog.get_logger()


class CannotStart(Exception):
    """The control plane cannot start; the message says what would help."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A socket that is bound but does not accept yet."""

    name: str
    socket: socket.socket
    secure: bool


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
            bound = [starting.enter_context(_closing(one)) for one in bind_all(self._settings)]
            tls = await self._start_tls(starting)
            database = await self._open_database(starting)
            await self._start_subjects(starting, database, bound, tls)
            self._running = starting.pop_all()

    async def stop(self) -> None:
        """Stop everything in order; may be called more than once."""
        await self._running.aclose()

    async def _start_tls(self, starting: contextlib.AsyncExitStack) -> Tls | None:
        files = self._settings.tls
        if files.certificate is None or files.key is None:
            return None
        try:
            tls = Tls(files.certificate, files.key)
        except OSError as error:
            raise CannotStart(f"tls.certificate and tls.key cannot be used: {error}") from error
        await tls.start()
        starting.push_async_callback(tls.stop)
        return tls

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
        upkeep = operations.build(
            fleet=fleet,
            work=work,
            journal=journal,
            keys=keys,
            clock=clock,
            meter=meter,
            components=[_database_component(database)],
            gauges=[Gauge(*figure) for figure in agents.figures()],
            documents={"coordinator": agents.document},
        )
        gates = {
            "main": (agents.interface, upkeep.interface),
            "tls": (agents.interface, upkeep.interface),
            "coordinator": (agents.compat,),
            "metrics": (upkeep.metrics,),
        }
        shared = _Shared(settings, Authentication(keys, settings.limits, clock), audit)
        self._listeners = [
            shared.listener(one, gates[one.name], upkeep.interface, tls if one.secure else None)
            for one in bound
        ]
        for listener in self._listeners:
            await listener.start()
            starting.push_async_callback(listener.stop)
        await agents.start()
        starting.push_async_callback(agents.stop, settings.server.stop_timeout_s)
        if not is_loopback(settings.server.host) and (token := await keys.bootstrap()):
            # The one secret that is ever printed: without it nobody could make the first key.
            sys.stderr.write(f"Bootstrap API key (shown once): {token}\n")


class _Shared:
    """What all listeners have in common."""

    def __init__(self, settings: Settings, authentication: Authentication, audit: RefusalAudit) -> None:
        self._settings = settings
        self._authentication = authentication
        self._audit = audit
        self._bodies = Bodies(settings.limits)
        self._serving = Serving(
            settings.limits,
            settings.access,
            Connections(settings.limits.connections),
            settings.server.stop_timeout_s,
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


def bind_all(settings: Settings) -> list[Bound]:
    """Bind every listener. A busy compat port is only warned about. Raises CannotStart."""
    server, everywhere = settings.server, settings.tls.all_listeners
    _check_exposure(server, everywhere)
    bound = [Bound("main", _bind(server.host, server.port, "server.port"), everywhere)]
    try:
        if server.tls_port is not None:
            bound.append(Bound("tls", _bind(server.host, server.tls_port, "server.tls_port"), secure=True))
        if server.compat_ports:
            bound += _bind_compat(server, everywhere)
    except CannotStart:
        for one in bound:
            one.socket.close()
        raise
    return bound


def _bind_compat(server: ServerSettings, secure: bool) -> list[Bound]:
    bound = []
    for name, port in (("coordinator", server.coordinator_port), ("metrics", server.metrics_port)):
        try:
            bound.append(Bound(name, bind(server.host, port), secure))
        except OSError as error:
            log.warning(
                "compat port is busy, going on without it", listener=name, port=port, error=str(error)
            )
    return bound


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        return bind(host, port)
    except OSError as error:
        raise CannotStart(f"{setting}: cannot listen on {host} port {port}: {error.strerror}") from error


def _check_exposure(server: ServerSettings, secure: bool) -> None:
    if is_loopback(server.host) or secure or server.insecure:
        return
    raise CannotStart(
        f"server.host: {server.host} can be reached from elsewhere and keys would travel in the clear; set "
        "tls.certificate, tls.key and tls.all_listeners=true, or server.insecure=true behind a proxy with TLS"
    )


@contextlib.contextmanager
def _closing(bound: Bound):  # type: ignore[no-untyped-def]  # contextmanager infers it
    try:
        yield bound
    finally:
        bound.socket.close()


def run(settings: Settings, ready_file: Path | None = None) -> int:
    """Run the control plane until SIGTERM or SIGINT; return the exit status of the process."""
    configure_logs(settings.log)
    try:
        uvloop.run(_serve(settings, ready_file))
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _serve(settings: Settings, ready_file: Path | None) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            # A second signal: nothing acknowledged is lost by ending here and now.
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    plane = ControlPlane(settings)
    await plane.start()
    log.info("ready", version=__version__, **plane.listeners)
    if ready_file is not None:
        _write_ready(ready_file, plane.listeners)
    await stopping.wait()
    log.info("stopping")
    await plane.stop()


def _write_ready(path: Path, listeners: dict[str, str]) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps({"url": listeners["main"], "listeners": listeners}) + "\n")
    temporary.replace(path)
