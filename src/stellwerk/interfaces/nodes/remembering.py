"""Routes of the agents' memory."""

from collections.abc import Mapping
from typing import Any

from stellwerk.http.endpoint import encode
from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw
from stellwerk.http.problem import Problem
from stellwerk.interfaces.nodes import rendering
from stellwerk.interfaces.nodes.callers import TEXT, header_text
from stellwerk.interfaces.nodes.wire import memory as wire
from stellwerk.traffic.memory import GLOBAL, Memory, MemoryScope, Place
from stellwerk.trust.scopes import Scope

TAG = "memory"
NAMED_BY = {
    MemoryScope.WORKFLOW: b"x-workflow-id",
    MemoryScope.SESSION: b"x-session-id",
    MemoryScope.ACTOR: b"x-actor-id",
}
"""The header that says which one of a scope is meant; in the order in which a read looks."""
HEADERS: Mapping[str, Any] = {"X-Workflow-ID": TEXT, "X-Session-ID": TEXT, "X-Actor-ID": TEXT}


class MemoryRoutes:
    """See the module."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="POST",
                path="/api/v1/memory/set",
                handle=self.set,
                scope=Scope.TASKS_SUBMIT,
                summary="Keep a value",
                tag=TAG,
                takes=wire.SetMemory,
                gives=wire.MemoryValue,
                headers=HEADERS,
                refuses=(409,),
            ),
            Operation(
                method="POST",
                path="/api/v1/memory/get",
                handle=self.get,
                scope=Scope.TASKS_READ,
                summary="Read a value",
                tag=TAG,
                takes=wire.MemoryKey,
                gives=wire.MemoryValue,
                headers=HEADERS,
                refuses=(404, 409),
            ),
            Operation(
                method="POST",
                path="/api/v1/memory/delete",
                handle=self.delete,
                scope=Scope.TASKS_SUBMIT,
                summary="Forget a value",
                tag=TAG,
                takes=wire.MemoryKey,
                gives=wire.MemoryDeleted,
                headers=HEADERS,
                refuses=(409,),
            ),
            Operation(
                method="GET",
                path="/api/v1/memory/list",
                handle=self.list,
                scope=Scope.TASKS_READ,
                summary="List the keys of a scope",
                tag=TAG,
                query=wire.MemoryQuery,
                gives=list[wire.MemoryRow],
                headers=HEADERS,
                refuses=(409,),
            ),
        ]

    async def set(self, call: Call[wire.SetMemory, None]) -> Answer:
        body = call.body
        place = places_of(call, body.scope, body.scope_id)[0]
        kept = await self._memory.put(call.principal, place, body.key, bytes(body.data).decode())
        return rendering.remembered(kept)

    async def get(self, call: Call[wire.MemoryKey, None]) -> Answer:
        body = call.body
        found = await self._memory.get(places_of(call, body.scope, body.scope_id), body.key)
        if found is None:
            raise Problem.not_found(f"There is no value for the key {body.key!r}", "key_not_found")
        return rendering.remembered(found)

    async def delete(self, call: Call[wire.MemoryKey, None]) -> Answer:
        body = call.body
        place = places_of(call, body.scope, body.scope_id)[0]
        deleted = await self._memory.delete(call.principal, place, body.key)
        return wire.MemoryDeleted(success=True, deleted=deleted)

    async def list(self, call: Call[None, wire.MemoryQuery]) -> Answer:
        query = call.query
        place = places_of(call, query.scope, query.scope_id)[0]
        rows = await self._memory.list(place, query.after, query.limit)
        return Raw(encode([rendering.remembered_key(one) for one in rows]), JSON)


def places_of(call: Call[Any, Any], scope: MemoryScope | None, scope_id: str | None) -> list[Place]:
    """Find where a request looks; the narrowest place is the first, and what is changed is changed there.

    Raises Problem.
    """
    given = dict(call.headers)
    named = {one: header_text(given, name) for one, name in NAMED_BY.items()}
    if scope is MemoryScope.GLOBAL:
        return [GLOBAL]
    if scope is not None:
        which = scope_id or named[scope]
        if which is None:
            raise Problem.conflict(
                f"The scope {scope.value} needs {NAMED_BY[scope].decode()}, or scope_id", "scope_not_named"
            )
        return [Place(scope, which)]
    if scope_id is not None:
        raise Problem.conflict("scope_id needs a scope", "scope_not_named")
    return [*(Place(one, which) for one, which in named.items() if which is not None), GLOBAL]
