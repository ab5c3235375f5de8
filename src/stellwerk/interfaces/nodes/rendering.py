"""Values of the subjects as the interface shows them."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from stellwerk.fleet.model import BASE_URL, AgentView, InstanceView
from stellwerk.http.instants import iso, iso_or_none
from stellwerk.interfaces.nodes.wire import executions, memory, nodes
from stellwerk.interfaces.nodes.words import health_of, lifecycle_of
from stellwerk.traffic.execution import Execution, Status
from stellwerk.traffic.memory import Remembered

Headers = tuple[tuple[bytes, bytes], ...]


def node(view: AgentView) -> nodes.Node:
    """Show an agent; address and functions are those of its newest process."""
    newest = view.instances[0]
    versions = [one.version for one in view.versions] or sorted({one.version for one in view.instances})
    return nodes.Node(
        id=view.group,
        group_id=_text(view.metadata, "group_id", view.group),
        team_id=_text(view.metadata, "team_id", "default"),
        version=newest.version,
        versions=versions,
        base_url=newest.endpoints.get(BASE_URL, ""),
        health_status=health_of(view.standing),
        lifecycle_status=lifecycle_of(view.standing),
        registered_at=iso(view.registered_at),
        last_heartbeat=iso(view.seen_at),
        reasoners=_functions(newest, "reasoners"),
        skills=_functions(newest, "skills"),
        instances=[_instance(one) for one in view.instances],
    )


def executed(one: Execution, webhook_error: str | None) -> executions.Executed:
    """Show the end of a call that succeeded."""
    return executions.Executed(
        execution_id=one.id,
        run_id=one.run_id,
        status=one.status.value,
        result=Raw((one.result or "null").encode()),
        duration_ms=one.duration_ms or 0,
        finished_at=iso(one.finished_at or one.created_at),
        version=one.version,
        instance_id=one.instance,
        webhook_registered=one.webhook is not None,
        webhook_error=UNSET if webhook_error is None else webhook_error,
    )


def begun(one: Execution, webhook_error: str | None) -> executions.Begun:
    """Show a call that was taken."""
    return executions.Begun(
        execution_id=one.id,
        run_id=one.run_id,
        workflow_id=one.run_id,
        # As published, also where an agent has it already; only a repeated call has a later status.
        status=one.status.value if one.finished else Status.QUEUED.value,
        target=one.target.text,
        type=one.target.kind,
        created_at=iso(one.created_at),
        webhook_registered=one.webhook is not None,
        webhook_error=webhook_error,
    )


def execution(one: Execution) -> executions.ExecutionStatus:
    """Show how an execution stands."""
    succeeded = one.status is Status.SUCCEEDED
    return executions.ExecutionStatus(
        execution_id=one.id,
        run_id=one.run_id,
        workflow_id=one.run_id,
        status=one.status.value,
        status_reason=one.reason,
        target=one.target.text,
        type=one.target.kind,
        node_id=one.target.group,
        created_at=iso(one.created_at),
        # The published interface always has one; until it begins, that is when it was taken.
        started_at=iso(one.started_at or one.created_at),
        completed_at=iso_or_none(one.finished_at),
        duration_ms=one.duration_ms,
        webhook_registered=one.webhook is not None,
        webhook_status=None if one.webhook is None else one.webhook.state.value,
        webhook_attempts=None if one.webhook is None else one.webhook.attempts,
        webhook_error=None if one.webhook is None else one.webhook.error,
        result=Raw((one.result or "null").encode()) if succeeded else UNSET,
        error=one.error,
        error_message=one.error,
        error_details=_details(one),
        error_status_code=one.error_status,
        version=one.version,
        instance_id=one.instance,
        parent_execution_id=one.parent_id,
        session_id=one.session_id,
        actor_id=one.actor_id,
    )


def webhook_body(one: Execution) -> executions.WebhookBody:
    """Say to a webhook's receiver how an execution ended."""
    succeeded = one.status is Status.SUCCEEDED
    ended_at = one.finished_at or one.created_at
    return executions.WebhookBody(
        event="execution.completed" if succeeded else "execution.failed",
        execution_id=one.id,
        run_id=one.run_id,
        workflow_id=one.run_id,
        agent_node_id=one.target.group,
        reasoner_id=one.target.function,
        status=one.status.value,
        target=one.target.text,
        type=one.target.kind,
        created_at=iso(one.created_at),
        started_at=iso(one.started_at or one.created_at),
        completed_at=iso(ended_at),
        timestamp=iso(ended_at),
        duration_ms=one.duration_ms,
        status_reason=one.reason,
        error_category=one.reason,
        result=Raw((one.result or "null").encode()) if succeeded else UNSET,
        error_message=one.error,
        error_details=_details(one),
        version=one.version,
        instance_id=one.instance,
        session_id=one.session_id,
        actor_id=one.actor_id,
    )


def not_executed(
    one: Execution, error: str, category: str, webhook_error: str | None = None
) -> executions.NotExecuted:
    """Show a call that did not succeed, or has not ended in time."""
    return executions.NotExecuted(
        error=error,
        error_category=category,
        execution_id=one.id,
        run_id=one.run_id,
        status=one.status.value,
        error_message=one.error or error,
        error_details=_details(one),
        status_reason=one.reason,
        duration_ms=one.duration_ms,
        finished_at=iso_or_none(one.finished_at),
        version=one.version,
        instance_id=one.instance,
        webhook_registered=True if one.webhook is not None else None,
        webhook_error=webhook_error,
    )


def headers(one: Execution) -> Headers:
    """Name the execution, its run, and the version that has it, in the headers of every answer."""
    named = [(b"x-execution-id", one.id.encode()), (b"x-run-id", one.run_id.encode("latin-1", "replace"))]
    if one.version is not None:
        named.append((b"x-routed-version", one.version.encode()))
    return tuple(named)


def remembered(one: Remembered) -> memory.MemoryValue:
    """Show a value."""
    return memory.MemoryValue(
        scope=one.scope,
        scope_id=one.scope_id,
        key=one.key,
        data=Raw(one.value.encode()),
        created_at=iso(one.created_at),
        updated_at=iso(one.updated_at),
    )


def remembered_key(one: Remembered) -> memory.MemoryRow:
    """Show a key."""
    return memory.MemoryRow(
        scope=one.scope,
        scope_id=one.scope_id,
        key=one.key,
        created_at=iso(one.created_at),
        updated_at=iso(one.updated_at),
    )


def _details(one: Execution) -> Raw | UnsetType:
    return UNSET if one.error_details is None else Raw(one.error_details.encode())


def _instance(one: InstanceView) -> nodes.NodeInstance:
    standing = (one.condition, one.presence)
    return nodes.NodeInstance(
        instance_id=one.instance,
        version=one.version,
        base_url=one.endpoints.get(BASE_URL, ""),
        health_status=health_of(standing),
        lifecycle_status=lifecycle_of(standing),
        registered_at=iso(one.registered_at),
        last_heartbeat=iso(one.seen_at),
    )


def _functions(one: InstanceView, kind: str) -> list[dict[str, Any]]:
    found = one.metadata.get(kind)
    return [function for function in found if isinstance(function, dict)] if isinstance(found, list) else []


def _text(metadata: Mapping[str, object], name: str, otherwise: str) -> str:
    value = metadata.get(name)
    return value if isinstance(value, str) and value else otherwise
