"""Bodies about memory."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from stellwerk.http.instants import Timestamp
from stellwerk.http.texts import PLAIN
from stellwerk.interfaces.nodes.wire.text import Json, Wire
from stellwerk.traffic.memory import MemoryScope

Key = Annotated[str, Meta(min_length=1, max_length=256, pattern=PLAIN)]
ScopeId = Annotated[str, Meta(min_length=1, max_length=253, pattern=PLAIN)]


class MemoryKey(Wire):
    """A key. Without a scope the headers decide: workflow, session, actor, else global."""

    key: Key
    scope: MemoryScope | None = None
    scope_id: (
        Annotated[
            ScopeId,
            Meta(description="Else X-Workflow-ID, X-Session-ID or X-Actor-ID; what is global needs none."),
        ]
        | None
    ) = None


class SetMemory(MemoryKey, kw_only=True):
    """A value to keep; it stays until it is deleted."""

    data: Json


class MemoryRow(Wire):
    """A key that is kept, without its value."""

    scope: str
    scope_id: str
    key: str
    created_at: Timestamp
    updated_at: Timestamp


class MemoryValue(MemoryRow):
    data: Json


class MemoryDeleted(Wire):
    success: bool
    deleted: Annotated[bool, Meta(description="Whether there was such a key.")]


class MemoryQuery(Wire):
    """Which place; `scope` is one of workflow, session, actor, global."""

    scope: MemoryScope
    scope_id: ScopeId | None = None
    after: Annotated[str, Meta(max_length=256, pattern=PLAIN)] = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 10_000


class MemoryChange(Wire):
    """What a listener is told. `data` is the value as it is when the change is told."""

    id: str
    type: str
    timestamp: Timestamp
    scope: str
    scope_id: str
    key: str
    action: str
    data: Raw = msgspec.field(default_factory=lambda: Raw(b"null"))
