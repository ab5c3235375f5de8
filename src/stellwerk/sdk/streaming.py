"""Following the journal over server-sent events.

A stream is resumed behind the last cursor seen whenever the connection breaks or the server says that the
reader was too slow (`dropped`), so the consumer sees every event once and in order, or an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import aiohttp
import msgspec

from stellwerk.sdk.backoff import Backoff, chance
from stellwerk.sdk.errors import Unreachable
from stellwerk.sdk.records import Event, EventPage
from stellwerk.sdk.transport import RETRIED, Answer, Transport, fault_of

LAST_KINDS = frozenset({"task.succeeded", "task.failed", "task.cancelled", "task.dead"})
SILENCE_S = 90.0
"""A stream without even a comment for this long is taken for dead."""


DROPPED = "dropped"
"""Kind of the last message to a reader that was too slow; its id is where to go on."""
PLACE = "place"
"""Kind of a message that only says from where a broken stream goes on."""


class Message(msgspec.Struct):
    """One server-sent event."""

    kind: str = "message"
    id: str | None = None
    data: str = ""


class Parser:
    """Puts lines together to messages (WHATWG HTML, 9.2.6)."""

    def __init__(self) -> None:
        self._kind = ""
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, line: str) -> Message | None:
        """Take one line without its end; return a message when this line ends one."""
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id":
            self._id = value
        return None

    def _dispatch(self) -> Message | None:
        message: Message | None = None
        if self._data:
            message = Message(self._kind or "message", self._id, "\n".join(self._data))
        elif self._id is not None:
            # No event, but a place to resume from.
            message = Message(PLACE, self._id)
        self._kind, self._id, self._data = "", None, []
        return message


async def follow(
    transport: Transport, *, kinds: Sequence[str], after: str | None, task_id: str | None = None
) -> AsyncIterator[Event]:
    """Yield events for ever, resuming by itself. Raises `Refused`."""
    backoff = Backoff(cap_s=5.0)
    while True:
        try:
            async for event in _one_connection(transport, kinds=kinds, after=after, task_id=task_id):
                after = event.cursor or after
                backoff.reset()
                if event.kind not in (PLACE, DROPPED):
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, Unreachable):
            pass
        await asyncio.sleep(backoff.next_s(chance()))


async def read_page(
    transport: Transport, *, kinds: Sequence[str], after: str | None, task_id: str | None, limit: int
) -> EventPage:
    """Read one page of the journal."""
    query = _query(kinds=kinds, after=after, task_id=task_id) | {"limit": str(limit)}
    return await transport.call("GET", "/events", EventPage, query=query)


async def follow_task(
    transport: Transport, task_id: str, *, kinds: Sequence[str], after: str | None
) -> AsyncIterator[Event]:
    """Yield a task's events from its first on (or behind `after`) and end with its last."""
    wanted = tuple(kinds)
    done = False
    while True:
        page = await read_page(transport, kinds=(), after=after, task_id=task_id, limit=500)
        for event in page.events:
            done = event.kind in LAST_KINDS
            if _fits(event.kind, wanted):
                yield event
        after = page.next or (page.events[-1].cursor if page.events else after)
        if not page.events and not page.more:
            break
    if done:
        return
    async for event in follow(transport, kinds=(), after=after, task_id=task_id):
        if _fits(event.kind, wanted):
            yield event
        if event.kind in LAST_KINDS:
            return


def _fits(kind: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(
        kind == each or (each.endswith(".*") and kind.startswith(each[:-1])) for each in wanted
    )


def _query(*, kinds: Sequence[str], after: str | None, task_id: str | None) -> dict[str, str]:
    query = {"kind": ",".join(kinds), "task": task_id or "", "after": after or ""}
    return {name: value for name, value in query.items() if value}


async def _one_connection(
    transport: Transport, *, kinds: Sequence[str], after: str | None, task_id: str | None
) -> AsyncIterator[Event]:
    async with transport.session.get(
        f"{transport.server}/events/stream",
        params=_query(kinds=kinds, after=after, task_id=task_id),
        headers={"accept": "text/event-stream"},
        allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=SILENCE_S),
    ) as response:
        if response.status != 200:
            refused = fault_of(Answer(response.status, await response.read()))
            raise Unreachable(str(refused)) if response.status in RETRIED else refused
        parser = Parser()
        async for raw in response.content:
            message = parser.feed(raw.decode().rstrip("\r\n"))
            if message is None:
                continue
            if message.kind in (PLACE, DROPPED):
                yield Event(message.kind, cursor=message.id or "")
                continue
            event = msgspec.json.decode(message.data, type=Event)
            yield (
                event if event.cursor or not message.id else msgspec.structs.replace(event, cursor=message.id)
            )
