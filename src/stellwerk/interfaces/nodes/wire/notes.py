"""Bodies of what agents tell about their executions."""

from typing import Annotated

from msgspec import Meta

from stellwerk.interfaces.nodes.wire.text import ExecutionId, Milliseconds, Prose, Tags, Wire, Word


class LogEntry(Wire):
    """A line of an execution's log."""

    message: Prose = ""
    level: Word | None = None
    ts: Word | None = None
    event_type: Word | None = None
    source: Word | None = None
    agent_node_id: Word | None = None
    reasoner_id: Word | None = None
    run_id: Word | None = None


class LogEntries(Wire):
    entries: Annotated[list[LogEntry], Meta(max_length=1_000)]


class Note(Wire):
    """A remark; headers name the execution and the agent."""

    message: Prose
    tags: Tags | None = None
    agent_node_id: Word | None = None


class WorkflowEvent(Wire):
    """A step of an execution, or of a function that one calls within its own process."""

    execution_id: ExecutionId
    status: Word | None = None
    agent_node_id: Word | None = None
    node_id: Word | None = None
    reasoner_id: Word | None = None
    reasoner_name: Word | None = None
    run_id: Word | None = None
    workflow_id: Word | None = None
    parent_execution_id: Word | None = None
    duration_ms: Milliseconds | None = None
    error: Prose | None = None


class Taken(Wire):
    success: bool = True


class EventTaken(Wire):
    """Ids as the sender gave them."""

    success: bool
    execution_id: str
    run_id: str | None
    workflow_id: str | None
