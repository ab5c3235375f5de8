"""Routes about remedies: try one out, ask for it, decide about it, follow it."""

from typing import Any

import msgspec

from stellwerk.http.instants import iso, iso_or_none
from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw
from stellwerk.inquiry.remedies.remedy import Remedy
from stellwerk.inquiry.remedies.service import Ask, Planned, Remedies
from stellwerk.interfaces.incidents import remedies_wire as wire
from stellwerk.interfaces.incidents.references import reference
from stellwerk.interfaces.incidents.rendering import workflow
from stellwerk.interfaces.incidents.sessions import PREFIX, SESSION
from stellwerk.trust.scopes import Scope

TAG = "remedies"
REMEDY = PREFIX + "/remedies/{remedy_id}"
encode = msgspec.json.Encoder().encode


class RemedyRoutes:
    """See the module."""

    def __init__(self, remedies: Remedies) -> None:
        self._remedies = remedies

    def operations(self) -> list[Operation]:
        """List the routes."""
        read, approve = Scope.INCIDENTS_READ, Scope.INCIDENTS_APPROVE
        decided: dict[str, Any] = {"tag": TAG, "gives": wire.Remedy, "scope": approve, "refuses": (409,)}
        return [
            Operation(
                method="POST",
                path=SESSION + "/remediate",
                handle=self.remediate,
                scope=Scope.INCIDENTS_REMEDIATE,
                summary="Carry out the remedy, or with `dry_run` say what it would do",
                tag=TAG,
                status=202,
                takes=wire.RemediateRequest,
                body_required=False,
                gives=wire.Remedy,
                also={200: wire.DryRun},
                refuses=(409, 503),
            ),
            Operation(
                method="GET",
                path=SESSION + "/remedies",
                handle=self.list,
                scope=read,
                summary="List the remedies of a session, newest first",
                tag=TAG,
                gives=wire.RemedyList,
            ),
            Operation(
                method="GET",
                path=REMEDY,
                handle=self.get,
                scope=read,
                summary="Show a remedy",
                tag=TAG,
                gives=wire.Remedy,
            ),
            Operation(
                method="POST",
                path=REMEDY + "/approve",
                handle=self.approve,
                summary="Approve a remedy that somebody else asked for",
                **decided,
            ),
            Operation(
                method="POST",
                path=REMEDY + "/reject",
                handle=self.reject,
                summary="Reject a remedy that somebody else asked for",
                **decided,
            ),
        ]

    async def remediate(self, call: Call[wire.RemediateRequest | None, None]) -> Answer:
        body = call.body or wire.RemediateRequest()
        ask = Ask(body.workflow_id, body.parameters)
        if body.dry_run:
            planned = await self._remedies.plan(call.path["session_id"], ask, call.principal)
            return Raw(encode(_dry(planned)), JSON, 200)
        return shown(await self._remedies.request(call.path["session_id"], ask, call.principal))

    async def list(self, call: Call[None, None]) -> Answer:
        found = await self._remedies.list(call.path["session_id"], call.principal)
        return wire.RemedyList(remedies=[shown(one) for one in found], total=len(found))

    async def get(self, call: Call[None, None]) -> Answer:
        return shown(await self._remedies.get(call.path["remedy_id"], call.principal))

    async def approve(self, call: Call[None, None]) -> Answer:
        return shown(await self._remedies.approve(call.path["remedy_id"], call.principal))

    async def reject(self, call: Call[None, None]) -> Answer:
        return shown(await self._remedies.reject(call.path["remedy_id"], call.principal))


def shown(remedy: Remedy) -> wire.Remedy:
    """Show a remedy."""
    return wire.Remedy(
        remedy_id=remedy.id,
        session_id=remedy.session,
        state=remedy.state.value,
        workflow=workflow(remedy.choice),
        target=reference(remedy.target),
        environment=remedy.environment,
        needs_approval=remedy.needs_approval,
        requested_by=remedy.by,
        requested_at=iso(remedy.requested_at),
        decided_by=remedy.decided_by,
        decided_at=iso_or_none(remedy.decided_at),
        started_at=iso_or_none(remedy.started_at),
        finished_at=iso_or_none(remedy.finished_at),
        operation=remedy.operation,
        message=remedy.message,
        healthy=remedy.healthy,
    )


def _dry(planned: Planned) -> wire.DryRun:
    return wire.DryRun(
        dry_run=True,
        workflow=workflow(planned.choice),
        environment=planned.environment,
        needs_approval=planned.needs_approval,
        steps=list(planned.steps),
    )
