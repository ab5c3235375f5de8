"""Routes over the journal: pages and a stream.

Theory of the stream. One subscription to the journal a caller; the journal bounds what may wait for it and
drops a reader that is too slow, which is told by an event named `dropped` whose id is the cursor to come
back with. A comment goes out when nothing happened for a while, so that both sides and what is between them
see that the other is there.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated

import msgspec
from msgspec import Meta

from stellwerk.http.instants import MomentText, Timestamp, iso, microseconds_of
from stellwerk.http.operation import Answer, Call, Operation, Streaming
from stellwerk.http.sse import EVENT_STREAM, STILL_HERE, with_silences
from stellwerk.http.texts import PLAIN
from stellwerk.journal.event import Dropped, EventFilter, Recorded
from stellwerk.journal.position import to_cursor
from stellwerk.journal.service import Journal
from stellwerk.journal.tail import Subscription
from stellwerk.trust.scopes import Scope

LAST_EVENT_ID = {"type": "string", "maxLength": 1000, "description": "Resumes behind this event."}

Text = Annotated[str, Meta(max_length=300, pattern=PLAIN)]
Cursor = Annotated[
    str,
    Meta(max_length=1000, description="Opaque: `next` of a page, or `cursor` of an event."),
]


class StreamQuery(msgspec.Struct, kw_only=True):
    """Which events; `kind` may be exact (`task.dead`), a family (`task.*`), or several with commas."""

    kind: Text | None = None
    group: Text | None = None
    task: Text | None = None
    principal: Text | None = None
    application: Text | None = None
    after: Cursor | None = None


class PageQuery(StreamQuery, kw_only=True):
    """Which events; from `since` on, before `until`."""

    since: MomentText | None = None
    until: MomentText | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Event(msgspec.Struct, kw_only=True):
    """Something that happened; `data` is an object."""

    cursor: str
    at: Timestamp
    kind: str
    group: str | None
    task: str | None
    principal: str | None
    application: str | None
    data: msgspec.Raw


class EventPage(msgspec.Struct, kw_only=True):
    """Events in order. A page may be short although `more` follow; go on with `next` in `after`."""

    events: list[Event]
    next: str
    more: bool


encode = msgspec.json.Encoder().encode


class EventRoutes:
    """See the module."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.streams = 0
        """Streams that are open now."""

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path="/events",
                handle=self.page,
                scope=Scope.EVENTS_READ,
                summary="Read the journal",
                tag="events",
                query=PageQuery,
                gives=EventPage,
                refuses=(404,),
            ),
            Operation(
                method="GET",
                path="/events/stream",
                handle=self.stream,
                scope=Scope.EVENTS_READ,
                summary="Follow the journal as server-sent events",
                description="Without `after` from now on. An event named `dropped` ends the stream of a"
                " reader that is too slow; its id is where to go on.",
                tag="events",
                query=StreamQuery,
                headers={"Last-Event-ID": LAST_EVENT_ID},
                gives=EVENT_STREAM,
                refuses=(404,),
            ),
        ]

    async def page(self, call: Call[None, PageQuery]) -> Answer:
        query = call.query
        since, until = microseconds_of(query.since), microseconds_of(query.until)
        page = await self._journal.page(wanted(query, since, until), query.after, query.limit)
        return EventPage(events=[event(one) for one in page.events], next=page.next, more=page.more)

    async def stream(self, call: Call[None, StreamQuery]) -> Answer:
        after = call.header(b"last-event-id") or call.query.after
        subscription = self._journal.subscribe(wanted(call.query), after)
        # Here, so that a cursor that is not good is refused before the stream begins.
        start = to_cursor(await subscription.start())
        return Streaming(self._follow(subscription, start), EVENT_STREAM)

    async def _follow(self, subscription: Subscription, start: str) -> AsyncGenerator[bytes, None]:
        self.streams += 1
        try:
            # An id without data is no event, but where to go on if the stream breaks before the first.
            yield b": welcome\nid: %b\n\n" % start.encode()
            async with contextlib.aclosing(with_silences(subscription)) as passed:
                async for happened in passed:
                    yield STILL_HERE if happened is None else write(happened)
                    if isinstance(happened, Dropped):
                        return
        finally:
            self.streams -= 1
            subscription.close()


def wanted(query: StreamQuery, since: int | None = None, until: int | None = None) -> EventFilter:
    """Read the filters of a query."""
    return EventFilter(
        kinds=tuple(kind for kind in (query.kind or "").split(",") if kind),
        group=query.group,
        task=query.task,
        principal=query.principal,
        application=query.application,
        since=since,
        until=until,
    )


def event(recorded: Recorded) -> Event:
    """Show an event."""
    return Event(
        cursor=recorded.cursor,
        at=iso(recorded.at),
        kind=recorded.kind,
        group=recorded.group,
        task=recorded.task,
        principal=recorded.principal,
        application=recorded.application,
        data=msgspec.Raw(recorded.data.encode()),
    )


def write(happened: Recorded | Dropped) -> bytes:
    """Write an event as a server-sent one."""
    if isinstance(happened, Dropped):
        return b'event: dropped\nid: %b\ndata: {"cursor":"%b"}\n\n' % (
            happened.cursor.encode(),
            happened.cursor.encode(),
        )
    return b"id: %b\ndata: %b\n\n" % (happened.cursor.encode(), encode(event(happened)))
