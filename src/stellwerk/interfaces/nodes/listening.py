"""WebSockets that tell of changes of memory.

Theory of operation. Agents connect before they listen, and wait for this answer: it is given at once, before
anything is asked of the database. From then on a listener has a subscription to the journal, which bounds
what may wait for it; one that reads too slowly is closed and may come back. The journal holds no values: the
value is read when its change is told, so two quick changes may be told with the later value twice.
"""

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from stellwerk.http.auth import check_scope
from stellwerk.http.duplex import close, until_gone
from stellwerk.http.instants import iso
from stellwerk.interfaces.nodes.wire.memory import MemoryChange
from stellwerk.journal.event import Dropped, EventFilter, Recorded
from stellwerk.journal.service import Journal
from stellwerk.traffic.memory import Memory, Place
from stellwerk.trust.scopes import Scope

TOO_SLOW, FAILED, RESTART = 4408, 1011, 1012
SEND_S = 10.0
"""How long one message may take."""
ACTIONS = {"memory.set": "set", "memory.deleted": "delete"}

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]

encode = msgspec.json.Encoder().encode


class Changed(msgspec.Struct):
    """What the journal holds of a change."""

    scope: str
    scope_id: str
    key: str


class Wanted(msgspec.Struct, frozen=True):
    """Which changes a listener asks for; empty is any."""

    patterns: tuple[str, ...] = ()
    scope: str = ""
    scope_id: str = ""

    def covers(self, change: Changed) -> bool:
        """Tell whether it asks for this one."""
        return (
            self.scope in ("", change.scope)
            and self.scope_id in ("", change.scope_id)
            and (not self.patterns or any(fnmatch.fnmatchcase(change.key, one) for one in self.patterns))
        )


class MemoryListeners:
    """Serves the listeners."""

    def __init__(self, journal: Journal, memory: Memory) -> None:
        self._journal = journal
        self._memory = memory
        self._open: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def stop(self) -> None:
        """Close every connection with 1012; may be called more than once."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=SEND_S)

    async def connect(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection. Raises Problem before it is accepted."""
        check_scope(Scope.TASKS_READ, scope["state"]["principal"])
        wanted = wanted_by(scope["query_string"])
        await receive()
        await send({"type": "websocket.accept"})
        serving = asyncio.create_task(self._serve(wanted, receive, send))
        self._open.add(serving)
        try:
            await serving
        except asyncio.CancelledError:
            if not serving.cancelled():
                serving.cancel()
                raise
            await close(send, RESTART, "The server stops")
        finally:
            self._open.discard(serving)

    async def _serve(self, wanted: Wanted, receive: Receive, send: Send) -> None:
        telling = asyncio.create_task(self._tell(wanted, send))
        gone = asyncio.create_task(until_gone(receive))
        try:
            await asyncio.wait((telling, gone), return_when=asyncio.FIRST_COMPLETED)
            if telling.done() and telling.exception() is not None:
                await close(send, FAILED, "Changes cannot be told now")
        finally:
            for task in (telling, gone):
                task.cancel()
            await asyncio.gather(telling, gone, return_exceptions=True)

    async def _tell(self, wanted: Wanted, send: Send) -> None:
        events = self._journal.subscribe(EventFilter(kinds=tuple(ACTIONS)))
        try:
            async for event in events:
                if isinstance(event, Dropped):
                    await close(send, TOO_SLOW, "Changes are not read")
                    return
                change = msgspec.json.decode(event.data, type=Changed)
                if wanted.covers(change):
                    frame = await self._frame(event, change)
                    async with asyncio.timeout(SEND_S):
                        await send({"type": "websocket.send", "text": frame.decode()})
        finally:
            events.close()

    async def _frame(self, event: Recorded, change: Changed) -> bytes:
        told = MemoryChange(
            id=event.cursor,
            type="memory_change",
            timestamp=iso(event.at),
            scope=change.scope,
            scope_id=change.scope_id,
            key=change.key,
            action=ACTIONS[event.kind],
        )
        if event.kind == "memory.set":
            found = await self._memory.get([Place(change.scope, change.scope_id)], change.key)
            if found is not None:
                told.data = msgspec.Raw(found.value.encode())
        return encode(told)


def wanted_by(query: bytes) -> Wanted:
    """Read which changes are wanted."""
    given = {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
    patterns = tuple(part for part in given.get("patterns", "").split(",") if part)
    return Wanted(patterns, given.get("scope", ""), given.get("scope_id", ""))
