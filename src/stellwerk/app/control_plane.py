"""One process: the order in which it starts and stops.

Sockets are bound first, so that a busy port is known before anything is touched; they accept connections
last, when everything behind them runs. Stopping goes the other way round: no new work is handed out, requests
and streams end, batches are written, the database is closed.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from stellwerk.app.errors import CannotStart
from stellwerk.app.extensions import Extensions
from stellwerk.app.listeners import Listeners
from stellwerk.app.published import Publication, publish
from stellwerk.app.subjects import Subjects, start_subjects
from stellwerk.clock import Clock, SystemClock
from stellwerk.database.database import Database, open_database
from stellwerk.database.errors import DatabaseLocked, DatabaseTooNew, DatabaseUnavailable, MigrationChanged
from stellwerk.http.access import access_of
from stellwerk.http.binding import Bound, CannotBind, bind_all
from stellwerk.http.listener import Listener
from stellwerk.http.tls import Tls
from stellwerk.settings import Settings
from stellwerk.trust.certificates.service import Identities

__all__ = ["CannotStart", "ControlPlane"]


class ControlPlane:
    """One process of the control plane."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, extensions: Extensions | None = None
    ) -> None:
        self._settings = settings
        self._extensions = extensions or Extensions()
        self._clock = clock or SystemClock()
        self._running = contextlib.AsyncExitStack()
        self._listeners: list[Listener] = []
        self._subjects: Subjects | None = None

    @property
    def subjects(self) -> Subjects:
        """What the interfaces stand over, while it runs: for programs that have it inside them."""
        if self._subjects is None:
            raise RuntimeError("the control plane does not run")
        return self._subjects

    @property
    def listeners(self) -> dict[str, str]:
        """Addresses by listener name."""
        return {listener.name: listener.url for listener in self._listeners}

    async def start(self) -> None:
        """Start everything, or leave nothing running. Raises CannotStart, DatabaseUnavailable."""
        async with contextlib.AsyncExitStack() as starting:
            bound = [starting.enter_context(one) for one in self._bind()]
            # Before the subjects: files that do not fit are known before the database is touched.
            tls = await self._start_tls(starting)
            database = await self._open_database(starting)
            subjects = await start_subjects(starting, database, self._settings, self._clock, self._extensions)
            tls = await self._trust_agents(starting, bound, tls, subjects.identities)
            published = publish(subjects, tls)
            await self._listen(starting, bound, subjects, published, tls)
            for part in published.parts:
                await part.start()
                starting.push_async_callback(part.stop, self._settings.server.stop_timeout_s)
            await self._show_first_key(subjects)
            self._subjects = subjects
            self._running = starting.pop_all()

    async def stop(self) -> None:
        """Stop everything in order; may be called more than once."""
        self._subjects = None
        await self._running.aclose()

    def _bind(self) -> list[Bound]:
        try:
            return bind_all(self._settings)
        except CannotBind as error:
            raise CannotStart(str(error)) from error

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

    async def _trust_agents(
        self,
        starting: contextlib.AsyncExitStack,
        bound: Sequence[Bound],
        tls: Tls | None,
        identities: Identities,
    ) -> Tls | None:
        """Let TLS listeners show a certificate, our own where none was given, and ask for those of agents."""
        if tls is None and any(one.secure for one in bound):
            own = identities.server_certificate
            tls = await self._watch_tls(starting, own, own)
        if tls is None:
            return None
        asking = tls

        def trust() -> None:
            """Trust the agents' roots, whichever they are at the time."""
            asking.trust(identities.agent_ca)

        trust()
        starting.callback(identities.on_trust_changed(trust))
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

    async def _listen(
        self,
        starting: contextlib.AsyncExitStack,
        bound: Sequence[Bound],
        subjects: Subjects,
        published: Publication,
        tls: Tls | None,
    ) -> None:
        listeners = Listeners(subjects, published)
        self._listeners = [listeners.listener(one, tls) for one in bound]
        starting.push_async_callback(self._stop_listeners)
        for listener in self._listeners:
            await listener.start()

    async def _stop_listeners(self) -> None:
        await asyncio.gather(*(listener.stop() for listener in self._listeners))

    async def _show_first_key(self, subjects: Subjects) -> None:
        settings = self._settings
        if access_of("main", settings.server.host, settings.server, settings.access).open:
            return
        token = await subjects.keys.bootstrap()
        if token is not None:
            # The one secret that is ever printed: without it nobody could make the first key.
            sys.stderr.write(f"Bootstrap API key (shown once): {token}\n")
