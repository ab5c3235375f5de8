"""Wake-ups between replicas, over LISTEN and NOTIFY.

Theory of operation. All hints travel on one PostgreSQL channel; the payload names the sender and our own
channel. Listeners in this process are woken at once, and the sender ignores its own echo. Notifications
serialise commits in PostgreSQL, so hints of one channel are gathered for some milliseconds and sent as one.
A task keeps one connection listening; when it was lost, hints may have been too, so after reconnecting
everybody is woken.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import structlog

from stellwerk.database.hints import Hints
from stellwerk.database.postgres_failures import LOST

_log = structlog.get_logger(__name__)

_CHANNEL = "stellwerk"
_GATHER_S = 0.005
_RECONNECT_S = 1.0
_PROBE_S = 30.0


class PostgresHints:
    """Sends hints and passes received ones on."""

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._local = Hints()
        self._sender = os.urandom(6).hex()
        self._due: set[str] = set()
        self._connection: Any = None
        self._speaking = asyncio.Lock()
        """Of who speaks over the connection: it has one word at a time, and the probe speaks too."""
        self._lost = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._something_due = asyncio.Event()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep_listening()), asyncio.create_task(self._keep_sending())]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def listen(self, channel: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after hints of this process and of others."""
        return self._local.listen(channel, callback)

    def wake(self, channel: str, *, here: bool = True) -> None:
        """Wake this process now, if asked to, and the others within some milliseconds."""
        if here:
            self._local.wake(channel)
        self._due.add(channel)
        self._something_due.set()

    async def _keep_sending(self) -> None:
        while True:
            await self._something_due.wait()
            await asyncio.sleep(_GATHER_S)
            self._something_due.clear()
            due, self._due = self._due, set()
            connection = self._connection
            if connection is None:
                # A lost hint is made up for by the receiver's own looking.
                continue
            try:
                async with self._speaking:
                    for channel in due:
                        payload = f"{self._sender} {channel}"
                        await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, payload)
            except (*LOST, asyncpg.PostgresError) as error:
                _log.info("hint was not sent", error=str(error))
                self._lost.set()

    async def _keep_listening(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (*LOST, asyncpg.PostgresError) as error:
                _log.info("listening connection was lost", error=str(error))
            await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        connection = await self._connect()
        try:
            self._lost.clear()
            connection.add_termination_listener(lambda _: self._lost.set())
            await connection.add_listener(_CHANNEL, self._received)
            self._connection = connection
            self._local.wake_all()
            while not self._lost.is_set():
                await self._probe(connection)
        finally:
            self._connection = None
            connection.terminate()

    async def _probe(self, connection: Any) -> None:
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._lost.wait()
        except TimeoutError:
            # Also keeps middle boxes from forgetting a silent connection.
            async with self._speaking:
                await connection.execute("SELECT 1")

    def _received(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        sender, _, channel = payload.partition(" ")
        if sender != self._sender:
            self._local.wake(channel)
