"""Routes by which agents tell what they do: log lines, notes, steps. All goes into the journal.

An agent tells of executions that were given to it, and of functions that it calls within its own process,
whose ids it makes itself. So it is the agent that must be known and the caller's own, not the execution.
Inputs and results are left out: who may read events need not be allowed to read those.
"""

from collections.abc import Iterable

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent
from stellwerk.fleet.service import Fleet
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.nodes.callers import said_by
from stellwerk.interfaces.nodes.wire import notes as wire
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append_many
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

TAG = "notes"
Facts = dict[str, object]

LONGEST = 8_192
"""Characters of one text that are kept; the rest is cut with a mark."""


class NoteRoutes:
    """See the module."""

    def __init__(self, fleet: Fleet, journal: Journal, database: Database, clock: Clock) -> None:
        self._fleet = fleet
        self._journal = journal
        self._database = database
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            self._route(
                "/api/v1/executions/{execution_id}/logs",
                self.logs,
                wire.LogEntries,
                wire.Taken,
                "Keep log lines",
            ),
            self._route("/api/v1/executions/note", self.note, wire.Note, wire.Taken, "Keep a note"),
            self._route(
                "/api/v1/workflow/executions/events",
                self.event,
                wire.WorkflowEvent,
                wire.EventTaken,
                "Keep a step of an execution",
            ),
            self._route(
                "/api/v1/workflow/executions",
                self.begun,
                wire.WorkflowEvent,
                wire.EventTaken,
                "Keep that a function within the agent's own process has begun",
            ),
        ]

    @staticmethod
    def _route(path: str, handle: object, takes: type, gives: type, summary: str) -> Operation:
        return Operation(
            method="POST",
            path=path,
            handle=handle,  # type: ignore[arg-type]  # each takes a call with a body of its own
            scope=Scope.FLEET_WRITE,
            summary=summary,
            tag=TAG,
            takes=takes,
            gives=gives,
            refuses=(404, 409),
        )

    async def logs(self, call: Call[wire.LogEntries, None]) -> Answer:
        lines = call.body.entries
        named = next((line.agent_node_id for line in lines if line.agent_node_id), None)
        await self._keep(
            call.principal,
            named or said_by(call).caller,
            call.path["execution_id"],
            [("execution.log", msgspec.structs.asdict(line)) for line in lines],
        )
        return wire.Taken()

    async def note(self, call: Call[wire.Note, None]) -> Answer:
        said, note = said_by(call), call.body
        facts: Facts = {"message": note.message, "tags": note.tags, "run_id": said.run_id}
        await self._keep(
            call.principal, note.agent_node_id or said.caller, said.parent_id, [("execution.note", facts)]
        )
        return wire.Taken()

    async def event(self, call: Call[wire.WorkflowEvent, None]) -> Answer:
        return await self._step(call, call.body.status or "unknown")

    async def begun(self, call: Call[wire.WorkflowEvent, None]) -> Answer:
        return await self._step(call, "registered")

    async def _step(self, call: Call[wire.WorkflowEvent, None], status: str) -> Answer:
        step = call.body
        facts: Facts = {
            "status": status,
            "function": step.reasoner_id or step.reasoner_name,
            "run_id": step.run_id or step.workflow_id,
            "parent_execution_id": step.parent_execution_id,
            "duration_ms": step.duration_ms,
            "error": step.error,
        }
        await self._keep(
            call.principal,
            step.agent_node_id or step.node_id,
            step.execution_id,
            [("execution.step", facts)],
        )
        return wire.EventTaken(
            success=True,
            execution_id=step.execution_id,
            run_id=step.run_id or step.workflow_id,
            workflow_id=step.workflow_id or step.run_id,
        )

    async def _keep(
        self,
        principal: Principal,
        group: str | None,
        execution_id: str | None,
        told: Iterable[tuple[str, Facts]],
    ) -> None:
        view = None if not group else await self._fleet.get_fresh(group)
        if view is None:
            raise UnknownAgent(group or "")
        if principal.id != view.owner and not principal.may(Scope.FLEET_ADMIN):
            raise OwnedByAnother(view.group)
        events = [
            Event(
                kind,
                Retention.TASK,
                group=group,
                task=execution_id,
                principal=principal.id,
                data=_text(facts),
            )
            for kind, facts in told
        ]
        now_us = self._clock.now_us()
        await self._database.write(lambda: append_many(events, now_us))
        self._journal.committed()


def _text(facts: Facts) -> str:
    kept = {name: _cut(value) for name, value in facts.items() if value is not None}
    return msgspec.json.encode(kept).decode()


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > LONGEST:
        return value[:LONGEST] + " … (cut)"
    return value
