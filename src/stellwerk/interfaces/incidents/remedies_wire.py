"""Bodies about remedies and the catalogue: our own, since nothing is published for them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stellwerk.http.instants import Timestamp
from stellwerk.inquiry.remedies.workflow import ExecutorName, Precondition, Risk
from stellwerk.interfaces.incidents.wire import AnyObject, ResourceReference, SelectedWorkflow, Wire


class RemediateRequest(Wire, forbid_unknown_fields=True):
    """What to carry out; nothing means what the investigation chose."""

    dry_run: bool = False
    workflow_id: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    parameters: AnyObject | None = None


class DryRun(Wire):
    """What would be done; nothing was."""

    dry_run: bool
    workflow: SelectedWorkflow
    environment: str
    needs_approval: str | None
    """Why it needs approval; null if it needs none."""
    steps: list[str]


class Remedy(Wire):
    """A remedy that somebody asked for."""

    remedy_id: str
    session_id: str
    state: str
    workflow: SelectedWorkflow
    target: ResourceReference
    environment: str
    needs_approval: str | None
    requested_by: str
    requested_at: Timestamp
    decided_by: str | None
    decided_at: Timestamp | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    operation: str | None
    message: str
    healthy: bool | None
    """Whether the health returned; null while nobody looked, or where nobody can tell."""


class RemedyList(Wire):
    remedies: list[Remedy]
    total: int


class WorkflowDescription(Wire, forbid_unknown_fields=True):
    what: str
    when_to_use: str
    when_not_to_use: str = ""


class CatalogueWorkflow(Wire, forbid_unknown_fields=True):
    """A workflow of the catalogue."""

    id: str
    name: str
    action_type: str
    description: WorkflowDescription
    causes: list[str]
    targets: list[str]
    risk: Risk
    executor: ExecutorName
    version: str = "1"
    preconditions: list[Precondition] = msgspec.field(default_factory=list)
    fit: Annotated[float, Meta(ge=0, le=1)] = 0.5
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    take: dict[str, str] = msgspec.field(default_factory=dict)


class WorkflowList(Wire):
    workflows: list[CatalogueWorkflow]
    total: int


class Removed(msgspec.Struct):
    workflow_id: str
    removed: bool
