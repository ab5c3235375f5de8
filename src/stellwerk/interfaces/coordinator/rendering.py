"""Values of the subjects as the interface shows them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from stellwerk.fleet.model import AgentView
from stellwerk.http.instants import iso, iso_or_none
from stellwerk.interfaces.coordinator.wire import agents, tasks, work
from stellwerk.interfaces.coordinator.words import project_status
from stellwerk.work import task as model

encode = msgspec.json.Encoder().encode
NULL = msgspec.Raw(b"null")
SECOND_US = 1_000_000


class Agents:
    """Renders agents, and keeps the encoded JSON of each until it changes.

    A discovery of a thousand agents is then a join of bytes. What is kept is bounded by the fleet: `forget`
    is to be called with every agent that was removed.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, bytes]] = {}

    def render(self, view: AgentView) -> bytes:
        """Encode one agent, as in listings."""
        kept = self._kept.get(view.group)
        if kept is not None and kept[0] == view.revision:
            return kept[1]
        encoded = encode(agent(view))
        self._kept[view.group] = (view.revision, encoded)
        return encoded

    def render_all(self, views: Iterable[AgentView]) -> bytes:
        """Encode a list of agents."""
        kept, parts = self._kept, []
        for view in views:
            entry = kept.get(view.group)
            parts.append(entry[1] if entry is not None and entry[0] == view.revision else self.render(view))
        return b"[" + b",".join(parts) + b"]"

    def forget(self, group: str) -> None:
        """Drop what is kept of an agent."""
        self._kept.pop(group, None)


def agent(view: AgentView) -> agents.Agent:
    """Show an agent as in listings."""
    return agents.Agent(
        agent_id=view.group,
        agent_type=view.kind,
        status=project_status(view.condition, view.presence),
        capabilities=view.capabilities,
        services=view.services,
        endpoints=dict(view.endpoints),
        metadata=dict(view.metadata),
        last_heartbeat=iso(view.seen_at),
        registration_time=iso(view.registered_at),
        load_metrics=dict(view.load),
        health_score=view.health_score,
        version=view.version,
        tags=view.tags,
        labels=dict(view.labels),
    )


def agent_with_instances(view: AgentView) -> agents.Agent:
    """Show an agent with its running processes."""
    shown = agent(view)
    shown.instances = tuple(
        agents.AgentInstance(
            instance_id=one.instance,
            version=one.version,
            status=project_status(one.condition, one.presence),
            last_heartbeat=iso(one.seen_at),
            registration_time=iso(one.registered_at),
            load_metrics=dict(one.load),
            health_score=one.health_score,
        )
        for one in view.instances
    )
    return shown


def assignment(given: model.Assignment) -> work.Assignment:
    """Show a leased attempt to its holder."""
    return work.Assignment(
        task_id=given.task_id,
        attempt=given.attempt,
        lease=given.fence,
        task_type=given.task_type,
        task_data=msgspec.Raw(given.task_data.encode()),
        requirements=msgspec.Raw(given.requirements.encode()),
        priority=given.priority_name,
        repeatable=given.repeatable,
        submitted_at=iso(given.submitted_at),
        deadline=iso_or_none(given.deadline_at),
        timeout_s=seconds(given.timeout_us),
        lease_expires_at=iso(given.lease_expires_at),
    )


def assignments(given: Sequence[model.Assignment]) -> list[work.Assignment]:
    """Show leased attempts."""
    return [assignment(one) for one in given]


def task_row(shown: model.Task) -> tasks.TaskRow:
    """Show a task as in listings."""
    return tasks.TaskRow(**_row(shown))


def task(shown: model.Task) -> tasks.Task:
    """Show a task with everything."""
    return tasks.Task(
        **_row(shown),
        task_data=raw(shown.task_data),
        requirements=raw(shown.requirements),
        result=raw(shown.result),
        error=raw(shown.error),
    )


def _row(shown: model.Task) -> dict[str, Any]:
    return {
        "task_id": shown.task_id,
        "task_type": shown.task_type or None,
        "priority": shown.priority_name,
        "state": shown.state.value,
        "reason": shown.reason,
        "attempt": shown.attempt,
        "max_attempts": shown.max_attempts,
        "repeatable": bool(shown.repeatable),
        "submitted_at": iso(shown.submitted_at),
        "not_before": iso_or_none(shown.not_before),
        "deadline": iso_or_none(shown.deadline_at),
        "timeout_s": seconds(shown.timeout_us),
        "leased_at": iso_or_none(shown.leased_at),
        "started_at": iso_or_none(shown.started_at),
        "finished_at": iso_or_none(shown.finished_at),
        "assigned_agent": shown.holder_group,
        "instance_id": shown.holder_instance,
        "progress": shown.progress,
        "progress_note": shown.progress_note,
    }


def raw(text: str | None) -> msgspec.Raw:
    """Embed JSON text as it is; null where there is none."""
    return NULL if text is None else msgspec.Raw(text.encode())


def seconds(microseconds: int | None) -> float | None:
    """Give a duration in seconds."""
    return None if microseconds is None else microseconds / SECOND_US


def changed(settled: model.Settled, timestamp: str) -> tasks.TaskChanged:
    """Show where a task stands after it was settled or changed."""
    return tasks.TaskChanged(
        task_id=settled.task_id,
        state=settled.state.value,
        duplicate=settled.duplicate,
        reason=settled.reason,
        timestamp=timestamp,
    )
