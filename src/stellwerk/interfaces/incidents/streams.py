"""The event stream of one session, in the published frames.

Theory of the stream. What is sent is the journal's events of the session, from its first on, so a stream that
breaks is resumed with `Last-Event-ID`, on any replica, and nobody misses the end. The frames are named as
published; what a model would do is shown as the steps that are done without one. The stream ends after
`session_ended`.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import msgspec

from stellwerk.http.operation import Answer, Call, Operation, Streaming
from stellwerk.http.sse import EVENT_STREAM, STILL_HERE, with_silences
from stellwerk.inquiry.sessions import events
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.interfaces.incidents.sessions import SESSION, TAG
from stellwerk.journal.event import Dropped, EventFilter, Recorded
from stellwerk.journal.service import Journal
from stellwerk.journal.tail import Subscription
from stellwerk.trust.scopes import Scope

PREVIEW = 200
"""Longest preview of a result, as published."""
RESUMES = {"type": "string", "maxLength": 1000, "description": "Resumes behind this event."}

CAUSE: Final = "rca"
REMEDY: Final = "workflow_discovery"
COLLECTING: Final = "collect_evidence"
Frame = tuple[str, str, dict[str, Any]]
"""Type, phase, data."""
encode = msgspec.json.Encoder().encode


class StreamRoutes:
    """See the module."""

    def __init__(self, investigations: Investigations, journal: Journal) -> None:
        self._investigations = investigations
        self._journal = journal

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path=SESSION + "/stream",
                handle=self.stream,
                scope=Scope.INCIDENTS_READ,
                summary="Follow a session as server-sent events, from its first on",
                tag=TAG,
                headers={"Last-Event-ID": RESUMES},
                gives=EVENT_STREAM,
            )
        ]

    async def stream(self, call: Call[None, None]) -> Answer:
        session = await self._investigations.get(call.path["session_id"], call.principal)
        after = call.header(b"last-event-id") or session.cursor
        subscription = self._journal.subscribe(EventFilter(task=session.id), after)
        # Here, so that a cursor that is not good is refused before the stream begins.
        await subscription.start()
        return Streaming(_follow(subscription), EVENT_STREAM)


async def _follow(subscription: Subscription) -> AsyncGenerator[bytes, None]:
    turn = 0
    with contextlib.closing(subscription):
        async with contextlib.aclosing(with_silences(subscription)) as passed:
            async for happened in passed:
                if happened is None:
                    yield STILL_HERE
                    continue
                if isinstance(happened, Dropped):
                    return
                for frame in frames(happened, turn):
                    turn += 1
                    yield frame
                if happened.kind in events.ENDS:
                    return


def frames(happened: Recorded, turn: int) -> list[bytes]:
    """Write an event of the journal as published frames; none for what they have no word for."""
    data = msgspec.json.decode(happened.data)
    cursor = happened.cursor
    return [
        _frame(cursor, kind, turn + number, phase, inner)
        for number, (kind, phase, inner) in enumerate(_published(happened.kind, data))
    ]


def _published(kind: str, data: dict[str, Any]) -> list[Frame]:
    if kind in events.ENDS:
        told: list[Frame] = [("cancelled", CAUSE, {"by": data.get("by")})] if kind == events.CANCELLED else []
        return [*told, ("session_ended", REMEDY, {})]
    tell = _TOLD.get(kind)
    return [] if tell is None else [tell(data)]


def _started(data: dict[str, Any]) -> Frame:
    return "tool_call_start", CAUSE, {"tool_name": COLLECTING, "tool_index": 0}


def _progress(data: dict[str, Any]) -> Frame:
    phase = REMEDY if data.get("phase") in {"choose", "advise", "done"} else CAUSE
    return "reasoning_delta", phase, {"text": data.get("progress", ""), "tool_call_count": 0}


def _enriched(data: dict[str, Any]) -> Frame:
    preview = f"{data.get('objects')} objects, {data.get('logs')} logs, {data.get('gaps')} gaps"
    return "tool_result", CAUSE, {"tool_name": COLLECTING, "tool_index": 0, "result_preview": preview}


def _unenriched(data: dict[str, Any]) -> Frame:
    return "error", CAUSE, {"error": data.get("detail", "")}


def _cause_found(data: dict[str, Any]) -> Frame:
    text = data.get("response_data", {}).get("analysis", "")
    return "reasoning_delta", CAUSE, {"text": text, "tool_call_count": 1}


def _validated(data: dict[str, Any]) -> Frame:
    preview = f"{data.get('workflow_id')}: {'; '.join(data.get('errors', ())) or 'fits'}"[:PREVIEW]
    index = data.get("attempt", 1)
    return (
        "tool_result",
        REMEDY,
        {"tool_name": "get_workflow", "tool_index": index, "result_preview": preview},
    )


def _model_called(data: dict[str, Any]) -> Frame:
    index, name = data.get("tool_call_index", 0), data.get("tool_name", "")
    preview = str(data.get("tool_result_preview", ""))[:PREVIEW]
    return "tool_result", CAUSE, {"tool_name": name, "tool_index": index, "result_preview": preview}


def _responded(data: dict[str, Any]) -> Frame:
    return "complete", REMEDY, data.get("response_data", {})


def _unresponded(data: dict[str, Any]) -> Frame:
    return "error", CAUSE, {"error": data.get("error_message", "")}


_TOLD: dict[str, Callable[[dict[str, Any]], Frame]] = {
    events.STARTED: _started,
    events.PROGRESS: _progress,
    events.ENRICHED: _enriched,
    events.UNENRICHED: _unenriched,
    events.CAUSE_FOUND: _cause_found,
    events.LLM_TOOL_CALL: _model_called,
    events.VALIDATED: _validated,
    events.RESPONDED: _responded,
    events.UNRESPONDED: _unresponded,
}


def _frame(cursor: str, kind: str, turn: int, phase: str, data: dict[str, Any]) -> bytes:
    body = encode({"type": kind, "turn": turn, "phase": phase, "data": data})
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.encode(), kind.encode(), body)
