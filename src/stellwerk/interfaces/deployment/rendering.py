"""Values of the subjects as the interface shows them."""

from collections.abc import Sequence

import msgspec

from stellwerk.clock import MICROSECONDS
from stellwerk.fleet.deployment.record import DeploymentAgent
from stellwerk.fleet.deployment.service import Deployments
from stellwerk.interfaces.deployment.credentials import references_of
from stellwerk.interfaces.deployment.delivering import payload_of
from stellwerk.interfaces.deployment.wire import administration, agents, tasks
from stellwerk.interfaces.deployment.words import stamp, stamp_or_none, status_of
from stellwerk.trust.certificates.record import Record
from stellwerk.trust.enrolment.tokens import RegistrationToken
from stellwerk.work.late import LateResult
from stellwerk.work.task import Assignment, Task

NULL = msgspec.Raw(b"null")
USAGE = {"cpu_usage": "cpu", "memory_usage": "memory", "disk_usage": "disk"}


def agent_row(agent: DeploymentAgent, deployments: Deployments) -> agents.AgentRow:
    """Show an agent as in lists."""
    view = deployments.view(agent)
    standing = deployments.stands(agent)
    load = {} if view is None else view.load
    return agents.AgentRow(
        id=agent.agent_id,
        name=agent.name,
        version=agent.version,
        status=standing.standing.value,
        status_reasons=standing.reasons,
        capabilities=agent.capabilities,
        last_heartbeat=stamp(agent.registered_at if view is None else view.seen_at),
        resource_usage={name: round(load[own] * 100, 3) for own, name in USAGE.items() if own in load},
        labels=dict(agent.labels),
        draining=agent.draining,
    )


def agent_in_full(
    agent: DeploymentAgent,
    deployments: Deployments,
    *,
    held: Sequence[Assignment],
    certificates: Sequence[Record],
    connected: bool,
) -> agents.Agent:
    """Show everything about an agent."""
    row = agent_row(agent, deployments)
    return agents.Agent(
        **{name: getattr(row, name) for name in row.__struct_fields__},
        allowed_capabilities=agent.allowed_capabilities,
        token_capabilities=agent.token_capabilities,
        detected_capabilities=agent.reported.capabilities,
        max_tasks=agent.max_tasks,
        running_tasks=agent.reported.running_tasks,
        log_level=agent.log_level,
        instance_id=agent.session_id,
        connected=connected,
        registered_at=stamp(agent.registered_at),
        updated_at=stamp(agent.updated_at),
        targets=[agents.ShownTarget(host=one.host, labels=dict(one.labels)) for one in agent.targets],
        tasks=[_lease(one) for one in held],
        certificates=[
            agents.ShownCertificate(serial=one.serial, state=one.state.value, expires_at=stamp(one.not_after))
            for one in certificates
        ],
    )


def _lease(held: Assignment) -> agents.ShownLease:
    return agents.ShownLease(
        task_id=held.task_id,
        task_type=held.task_type,
        status=status_of(held.state, None),
        attempt=held.attempt,
        lease=held.fence,
        expires_at=stamp(held.lease_expires_at),
    )


def task_row(task: Task) -> tasks.TaskRow:
    """Show a task as in lists."""
    return tasks.TaskRow(
        task_id=task.task_id,
        task_type=task.task_type,
        status=status_of(task.state, task.reason),
        reason=task.reason,
        agent=task.holder_group or task.target_group,
        priority=task.priority,
        attempt=task.attempt,
        idempotent=task.repeatable,
        progress=None if task.progress is None else round(task.progress * 100, 3),
        message=task.progress_note,
        created_at=stamp(task.submitted_at),
        started_at=stamp_or_none(task.started_at),
        finished_at=stamp_or_none(task.finished_at),
        expires_at=stamp_or_none(task.deadline_at),
        timeout=None if task.timeout_us is None else task.timeout_us / MICROSECONDS,
    )


def task_in_full(task: Task, late: LateResult | None) -> tasks.Task:
    """Show everything about a task; credentials as references. `late` is what came when it was given up."""
    row = task_row(task)
    return tasks.Task(
        **{name: getattr(row, name) for name in row.__struct_fields__},
        payload=payload_of(task.task_data or "{}"),
        credentials=references_of(task.requirements or "{}"),
        result=raw(task.result),
        error=raw(task.error),
        late_result=None if late is None else _late(late),
    )


def _late(late: LateResult) -> tasks.LateResult:
    return tasks.LateResult(
        attempt=late.attempt, received_at=stamp(late.received_at), outcome=raw(late.outcome)
    )


def token(record: RegistrationToken) -> administration.ShownToken:
    """Show a registration token without its secret."""
    return administration.ShownToken(
        token_id=record.token_id,
        name=record.scope.name,
        capabilities=record.scope.capabilities,
        labels=dict(record.scope.labels),
        replaces=record.scope.replaces,
        created_at=stamp(record.created_at),
        created_by=record.created_by,
        expires_at=stamp(record.expires_at),
        revoked_at=stamp_or_none(record.revoked_at),
        used_at=stamp_or_none(record.used_at),
        used_by=record.used_by,
    )


def raw(text: str | None) -> msgspec.Raw:
    """Embed JSON text as it is; null where there is none."""
    return NULL if text is None else msgspec.Raw(text.encode())
