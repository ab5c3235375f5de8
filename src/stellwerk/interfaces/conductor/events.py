"""Routes over the journal: what happened to the application, as lists and as a stream."""

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from msgspec import UNSET

from stellwerk.http.instants import microseconds_of
from stellwerk.http.operation import Answer, Call, Operation, Raw, Streaming
from stellwerk.http.problem import Problem
from stellwerk.http.sse import EVENT_STREAM, block, with_signs_of_life
from stellwerk.interfaces.conductor.errors import invalid
from stellwerk.interfaces.conductor.rendering import instant
from stellwerk.interfaces.conductor.wire import events as wire
from stellwerk.journal.event import Dropped, EventFilter, Recorded
from stellwerk.journal.newest import Look
from stellwerk.journal.service import Journal
from stellwerk.journal.tail import Subscription
from stellwerk.trust.scopes import Scope

TAG = "deployment events"
LAST_EVENT_ID = {"type": "string", "maxLength": 1_000, "description": "Resumes behind this event."}
ONE = "/api/events/{namespace}/{kind}/{name}"
encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, Any]).decode


class EventRoutes:
    """See the module."""

    def __init__(self, journal: Journal, application: str) -> None:
        self._journal = journal
        self._application = application

    def operations(self) -> list[Operation]:
        """List the routes."""
        read, shown = Scope.EVENTS_READ, list[wire.ShownEvent]
        return [
            Operation(
                method="GET", path="/api/events", handle=self.list, scope=read, tag=TAG, gives=shown,
                summary="List events, newest first", description="`X-Total-Count` has how many there are.",
                query=wire.EventsQuery,
            ),
            Operation(
                method="GET", path="/api/events/errors", handle=self.errors, scope=read, tag=TAG, gives=shown,
                summary="List errors, newest first", query=wire.ErrorsQuery,
            ),
            Operation(
                method="GET", path="/api/events/stream", handle=self.stream, scope=read, tag=TAG,
                gives=EVENT_STREAM, summary="Follow events as server-sent events",
                description="From now on, or behind `Last-Event-ID`. An event named `dropped` ends the stream"
                " of a reader that is too slow; its id is where to go on.",
                query=wire.FollowQuery, headers={"Last-Event-ID": LAST_EVENT_ID}, refuses=(404,),
            ),
            Operation(
                method="GET", path=ONE, handle=self.of_resource, scope=read, tag=TAG, gives=shown,
                summary="List what happened to one object, newest first", query=wire.ResourceQuery,
                misses=False,
            ),
            Operation(
                method="DELETE", path="/api/events", handle=self.clean, scope=Scope.SERVICES_ADMIN, tag=TAG,
                gives=wire.Cleaned, summary="Delete events that are older; what is kept for audits stays",
                query=wire.CleanQuery,
            ),
        ]  # fmt: skip

    async def list(self, call: Call[None, wire.EventsQuery]) -> Answer:
        query = call.query
        look = Look(
            self._application,
            _given(query.type),
            _given(query.resource),
            microseconds_of(_given(query.since)),
            microseconds_of(_given(query.until)),
        )
        return await self._page(look, query.limit, query.offset)

    async def errors(self, call: Call[None, wire.ErrorsQuery]) -> Answer:
        return await self._page(Look(self._application, "error"), call.query.limit)

    async def of_resource(self, call: Call[None, wire.ResourceQuery]) -> Answer:
        resource = "/".join(call.path[name] for name in ("namespace", "kind", "name"))
        return await self._page(Look(self._application, resource=resource), call.query.limit)

    async def stream(self, call: Call[None, wire.FollowQuery]) -> Answer:
        wanted = EventFilter(
            kinds=("deploy.*",), application=self._application, group=_given(call.query.resource)
        )
        subscription = self._journal.subscribe(wanted, call.header(b"last-event-id"))
        # Here, so that a cursor that is not good is refused before the stream begins.
        await subscription.start()
        return Streaming(
            with_signs_of_life(_chosen(subscription, _given(call.query.type)), write), EVENT_STREAM
        )

    async def clean(self, call: Call[None, wire.CleanQuery]) -> Answer:
        if call.query.before is UNSET:
            raise invalid(
                "Say which: `before` with an instant as RFC 3339 wants it", code="missing_parameter"
            )
        try:
            before = microseconds_of(call.query.before)
        except Problem:
            raise invalid("`before` is no instant as RFC 3339 wants it", code="invalid_parameter") from None
        deleted = await self._journal.clear(self._application, before or 0)
        return wire.Cleaned(message="Events cleaned up successfully", deleted=deleted)

    async def _page(self, look: Look, limit: int, offset: int = 0) -> Answer:
        found, total = await self._journal.newest(look, limit, offset)
        headers = ((b"x-total-count", str(total).encode()),)
        return Raw(encode([event(one) for one in found]), headers=headers)


async def _chosen(
    subscription: Subscription, level: wire.Level | None
) -> AsyncGenerator[Recorded | Dropped, None]:
    try:
        async for one in subscription:
            if isinstance(one, Dropped) or level is None or event(one).type == level:
                yield one
    finally:
        subscription.close()


def event(one: Recorded) -> wire.ShownEvent:
    """Show an event."""
    data = _object(one.data)
    shown = {name: data.pop(name, UNSET) for name in ("type", "message", "resourceKey", "error")}
    details = data.pop("details", {}) | data
    return wire.ShownEvent(
        id=one.cursor,
        timestamp=instant(one.at),
        type=shown["type"] or "info",
        resource_key=shown["resourceKey"],
        message=shown["message"] or one.kind,
        error=shown["error"],
        details=details or UNSET,
        kind=one.kind,
        by=one.principal or UNSET,
    )


def write(one: Recorded | Dropped) -> bytes:
    """Write an event as a server-sent one."""
    if isinstance(one, Dropped):
        return block(b'{"id":"%b"}' % one.cursor.encode(), event="dropped", identifier=one.cursor)
    return block(encode(event(one)), identifier=one.cursor)


def _given(value: Any) -> Any:
    return None if value is UNSET else value
