"""Routes about sessions: submit, poll, result, and what later versions added."""

from typing import Annotated

import msgspec
from msgspec import Meta

from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.problem import Problem
from stellwerk.http.texts import PLAIN
from stellwerk.inquiry.sessions.service import Investigations
from stellwerk.inquiry.sessions.session import NotEnded
from stellwerk.interfaces.incidents import rendering, wire
from stellwerk.interfaces.incidents.errors import not_ready
from stellwerk.interfaces.incidents.reading import opening_of
from stellwerk.trust.scopes import Scope

PREFIX = "/api/v1/incident"
SESSION = PREFIX + "/session/{session_id}"
TAG = "incidents"


class ListQuery(msgspec.Struct, kw_only=True):
    """Which sessions; `target` as `namespace/Kind/name`."""

    target: Annotated[str, Meta(max_length=800, pattern=PLAIN)] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 50


class SessionRoutes:
    """See the module."""

    def __init__(self, investigations: Investigations) -> None:
        self._investigations = investigations

    def operations(self) -> list[Operation]:
        """List the routes."""
        read, investigate = Scope.INCIDENTS_READ, Scope.INCIDENTS_INVESTIGATE
        return [
            Operation(
                method="POST",
                path=PREFIX + "/analyze",
                handle=self.submit,
                scope=investigate,
                summary="Submit an investigation",
                tag=TAG,
                status=202,
                takes=wire.IncidentRequest,
                gives=wire.AnalyzeAccepted,
                identifier="incident_analyze_endpoint_api_v1_incident_analyze_post",
            ),
            Operation(
                method="GET",
                path=PREFIX + "/sessions",
                handle=self.list,
                scope=read,
                summary="List the newest sessions that the caller may see",
                tag=TAG,
                query=ListQuery,
                gives=wire.SessionList,
            ),
            Operation(
                method="GET",
                path=SESSION,
                handle=self.poll,
                scope=read,
                summary="Poll a session's status",
                tag=TAG,
                gives=wire.SessionStatus,
                identifier="incident_session_status_endpoint_api_v1_incident_session__session_id__get",
            ),
            Operation(
                method="GET",
                path=SESSION + "/result",
                handle=self.result,
                scope=read,
                summary="Get a session's result; 409 until it is complete",
                tag=TAG,
                gives=wire.IncidentResponse,
                refuses=(409,),
                identifier=(
                    "incident_session_result_endpoint_api_v1_incident_session__session_id__result_get"
                ),
            ),
            Operation(
                method="POST",
                path=SESSION + "/cancel",
                handle=self.cancel,
                scope=investigate,
                summary="Cancel a session; 409 if it has ended",
                tag=TAG,
                gives=wire.CancelSessionResponse,
                refuses=(409,),
            ),
            Operation(
                method="GET",
                path=SESSION + "/snapshot",
                handle=self.snapshot,
                scope=read,
                summary="Show what is left of a session that has ended; 409 while it goes on",
                tag=TAG,
                gives=wire.SessionSnapshot,
                refuses=(409,),
            ),
        ]

    async def submit(self, call: Call[wire.IncidentRequest, None]) -> Answer:
        opened = await self._investigations.open(opening_of(call.body), call.principal.id)
        return wire.AnalyzeAccepted(session_id=opened.id)

    async def list(self, call: Call[None, ListQuery]) -> Answer:
        query = call.query
        found = await self._investigations.list(call.principal, query.limit, query.target)
        return wire.SessionList(sessions=[rendering.listed(one) for one in found], total=len(found))

    async def poll(self, call: Call[None, None]) -> Answer:
        return rendering.status(await self._investigations.get(call.path["session_id"], call.principal))

    async def result(self, call: Call[None, None]) -> Answer:
        session = await self._investigations.result(call.path["session_id"], call.principal)
        if session.conclusion is None:
            raise not_ready(session)
        return rendering.result(session, session.conclusion)

    async def cancel(self, call: Call[None, None]) -> Answer:
        ended = await self._investigations.cancel(call.path["session_id"], call.principal)
        return wire.CancelSessionResponse(session_id=ended.id, status=ended.state.value)

    async def snapshot(self, call: Call[None, None]) -> Answer:
        try:
            session = await self._investigations.ended(call.path["session_id"], call.principal)
        except NotEnded as error:
            raise Problem.conflict(str(error), "session_in_progress") from None
        return rendering.snapshot(session)
