"""Bodies about executions: calls, how they stand, and what agents report of them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from stellwerk.http.instants import Timestamp
from stellwerk.interfaces.nodes.wire.text import ExecutionId, Json, JsonObject, Wire, Word, null

Input = Annotated[
    Raw,
    Meta(
        extra_json_schema={
            "x-replace": {"type": ["object", "null"], "description": "What the function is called with."}
        }
    ),
]
OptionalJson = Annotated[
    Raw | UnsetType, Meta(extra_json_schema={"x-replace": {"description": "Any JSON value."}})
]
StatusWord = Literal["queued", "running", "succeeded", "failed", "cancelled", "timeout"]
WebhookWord = Literal["waiting", "due", "delivered", "failed"]
ReportedWord = Literal[
    "pending", "queued", "waiting", "running", "paused", "succeeded", "failed", "cancelled", "timeout"
]


class Webhook(Wire):
    """Who is to be told of the end. With a secret the body is signed (`X-AgentField-Signature`)."""

    url: Annotated[str, Meta(max_length=2_048)]
    secret: Annotated[str, Meta(max_length=1_024)] | None = None
    headers: Annotated[dict[str, str], Meta(max_length=32)] | None = None


class Execute(Wire):
    """A call. Without an input the function gets `{}`."""

    input: Input = msgspec.field(default_factory=null)
    context: JsonObject | None = None
    webhook: Webhook | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=604_800)] | None = None


class Executed(Wire):
    """The end of a call that succeeded."""

    execution_id: str
    run_id: str
    status: StatusWord
    result: Json
    duration_ms: int
    finished_at: Timestamp
    version: str | None
    instance_id: str | None
    webhook_registered: bool = False
    webhook_error: str | UnsetType = UNSET


class NotExecuted(Wire, omit_defaults=True):
    """A call that was taken and did not succeed, or has not ended in time."""

    error: str
    error_category: str
    execution_id: str
    run_id: str
    status: StatusWord
    error_message: str | None = None
    error_details: OptionalJson = UNSET
    status_reason: str | None = None
    duration_ms: int | None = None
    finished_at: Timestamp | None = None
    version: str | None = None
    instance_id: str | None = None
    webhook_registered: bool | None = None
    webhook_error: str | None = None


class Begun(Wire, omit_defaults=True):
    """A call that was taken, durably; how it stands is told by its id."""

    execution_id: str
    run_id: str
    workflow_id: str
    status: StatusWord
    target: str
    type: str
    created_at: Timestamp
    webhook_registered: bool | None = None
    webhook_error: str | None = None


class ExecutionStatus(Wire, omit_defaults=True):
    """How an execution stands."""

    execution_id: str
    run_id: str
    workflow_id: str
    status: StatusWord
    target: str
    type: str
    node_id: str
    created_at: Timestamp
    started_at: Timestamp
    webhook_registered: bool | None = None
    webhook_status: WebhookWord | None = None
    webhook_attempts: int | None = None
    webhook_error: str | None = None
    status_reason: str | None = None
    result: OptionalJson = UNSET
    error: str | None = None
    error_message: str | None = None
    error_details: OptionalJson = UNSET
    error_status_code: int | None = None
    completed_at: Timestamp | None = None
    duration_ms: int | None = None
    version: str | None = None
    instance_id: str | None = None
    parent_execution_id: str | None = None
    session_id: str | None = None
    actor_id: str | None = None


class WebhookBody(Wire, omit_defaults=True):
    """What a webhook's receiver is sent."""

    event: Literal["execution.completed", "execution.failed"]
    execution_id: str
    run_id: str
    workflow_id: str
    agent_node_id: str
    reasoner_id: str
    status: StatusWord
    target: str
    type: str
    created_at: Timestamp
    started_at: Timestamp
    completed_at: Timestamp | None
    timestamp: Timestamp
    duration_ms: int | None = None
    status_reason: str | None = None
    error_category: str | None = None
    result: OptionalJson = UNSET
    error_message: str | None = None
    error_details: OptionalJson = UNSET
    version: str | None = None
    instance_id: str | None = None
    session_id: str | None = None
    actor_id: str | None = None


class BatchStatus(Wire):
    execution_ids: Annotated[list[ExecutionId], Meta(max_length=1_000)]


class StatusReport(Wire):
    """What an agent says of an execution that it was given. Results may be any JSON."""

    status: ReportedWord
    result: Json = msgspec.field(default_factory=null)
    error: Any = None
    error_details: Json = msgspec.field(default_factory=null)
    error_status_code: Annotated[int, Meta(ge=100, le=999)] | None = None
    status_reason: Word | None = None
    duration_ms: Annotated[float, Meta(ge=0)] | None = None


class Cancel(Wire):
    reason: Word | None = None


class Cancelled(Wire):
    execution_id: str
    status: StatusWord
    cancelled: Annotated[bool, Meta(description="False: its agent was asked to stop and has not yet.")]
