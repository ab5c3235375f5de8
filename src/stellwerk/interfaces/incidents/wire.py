"""Bodies of the interface, in the published names. The request takes what both published versions send; the
answers have the fields of both, and those that only the document names."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stellwerk.http.instants import Timestamp

Severity = Literal["critical", "high", "medium", "warning", "low", "info", "unknown"]
"""Of both versions."""
HumanReviewReason = Literal[
    "workflow_not_found",
    "image_mismatch",
    "parameter_validation_failed",
    "no_matching_workflows",
    "low_confidence",
    "llm_parsing_error",
    "investigation_inconclusive",
    "rca_incomplete",
]
Outcome = Literal["workflow_selected", "no_workflow", "not_actionable", "resolved", "inconclusive"]
AnyObject = dict[str, Any]
Confidence = Annotated[float, Meta(ge=0, le=1)]
NotEmpty = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
"""Described, and judged by the route: what is empty is 422 and not 400."""
SignalMode = Annotated[
    str, Meta(extra_json_schema={"x-replace": {"type": "string", "description": "reactive or proactive"}})
]
"""Read by the route, which takes it in any case."""


class Wire(msgspec.Struct, kw_only=True):
    """Anything on the wire."""


class BusinessClassification(Wire):
    businessUnit: str | None = None  # noqa: N815 - as published
    serviceOwner: str | None = None  # noqa: N815
    criticality: str | None = None
    slaRequirement: str | None = None  # noqa: N815


class EnrichmentResults(Wire):
    """Taken and not used: what is known of the target is asked of the cluster."""

    kubernetesContext: AnyObject | None = None  # noqa: N815
    customLabels: dict[str, list[str]] | None = None  # noqa: N815
    businessClassification: BusinessClassification | None = None  # noqa: N815


class IncidentRequest(Wire):
    """An enriched signal: what is wrong with which object."""

    incident_id: NotEmpty
    remediation_id: NotEmpty
    """For correlation only."""
    signal_name: str
    severity: Severity
    signal_source: str
    resource_namespace: str
    resource_kind: NotEmpty
    resource_name: NotEmpty
    error_message: str
    environment: str
    priority: str
    risk_tolerance: str
    business_category: str
    cluster_name: str
    resource_api_version: str = ""
    description: str | None = None
    is_duplicate: bool | None = False
    occurrence_count: int | None = 0
    deduplication_window_minutes: int | None = None
    firing_time: str | None = None
    received_time: str | None = None
    first_seen: str | None = None
    last_seen: str | None = None
    signal_labels: dict[str, str] | None = None
    signal_annotations: dict[str, str] | None = None
    enrichment_results: EnrichmentResults | None = None
    signal_mode: SignalMode | None = None
    interactive: bool | None = False


class AnalyzeAccepted(Wire):
    session_id: str


class SessionStatus(Wire):
    """Where a session is; `progress` says what is being done."""

    session_id: str
    status: str
    progress: str
    phase: str
    created_at: Timestamp
    error: str | UnsetType = UNSET
    acting_user: str | UnsetType = UNSET


class ListedSession(SessionStatus, kw_only=True):
    """A session in a list."""

    incident_id: str
    signal_name: str
    resource_kind: str
    resource_namespace: str
    resource_name: str
    automatic: bool
    finished_at: Timestamp | None
    investigation_outcome: Outcome | None
    root_cause: str | None


class SessionList(Wire):
    sessions: list[ListedSession]
    total: int


class CancelSessionResponse(Wire):
    session_id: str
    status: str


class SessionSnapshot(Wire):
    """What is left of a session that has ended, however it did."""

    session_id: str
    status: str
    created_at: Timestamp
    metadata: dict[str, str]
    error: str | None
    cancelled_phase: str | None
    cancelled_at_turn: int | None
    rca_summary: str | None
    total_prompt_tokens: int | None
    total_completion_tokens: int | None


class ResourceReference(Wire):
    kind: str
    namespace: str
    name: str
    apiVersion: str = ""  # noqa: N815


class CausalStep(Wire):
    """One link: the first is what was noticed, the last the root."""

    summary: str
    resource: ResourceReference
    evidence: list[str]
    """Ids of `evidence`."""
    code: str


class EvidenceItem(Wire):
    """Something that was seen; its text is the cluster's, and is not to be trusted."""

    id: str
    source: str
    resource: ResourceReference
    excerpt: str
    at: Timestamp | None


class FindingItem(Wire):
    """One proven fact about one object."""

    code: str
    severity: str
    resource: ResourceReference
    summary: str
    evidence: list[str]


class IntroducedBy(Wire):
    """The change that brought it."""

    resource: ResourceReference
    at: Timestamp
    by: str
    what: str
    release: int | None


class RootCauseAnalysis(Wire):
    summary: str
    severity: str
    signal_name: str
    cause: str
    """A word for programs; empty where there is no root."""
    root_objects: list[ResourceReference]
    causal_chain: list[CausalStep]
    contributing_factors: list[str]
    remediationTarget: ResourceReference | None  # noqa: N815
    introduced_by: IntroducedBy | None
    findings: list[FindingItem]
    evidence: list[EvidenceItem]
    missing: list[str]
    """What would have to be known."""


class SelectedWorkflow(Wire):
    workflow_id: str
    name: str
    workflow_name: str
    version: str
    action_type: str
    execution_engine: str
    confidence: Confidence
    risk: str
    rationale: str
    parameters: AnyObject


class AlternativeWorkflow(Wire):
    workflow_id: str
    confidence: Confidence
    rationale: str
    execution_bundle: str | None = None


class ValidationAttempt(Wire):
    attempt: Annotated[int, Meta(ge=1)]
    is_valid: bool
    timestamp: Timestamp
    workflow_id: str | None
    errors: list[str]


class AlignmentFinding(Wire):
    step_index: int
    step_kind: Literal["llm_reasoning", "tool_result", "signal_input"]
    explanation: str
    tool: str | UnsetType = UNSET


class AlignmentVerdict(Wire):
    result: Literal["aligned", "suspicious"]
    flagged: Annotated[int, Meta(ge=0)]
    total: Annotated[int, Meta(ge=0)]
    findings: list[AlignmentFinding]
    circuit_breaker_activated: bool = False
    summary: str = ""


class ModelClaim(Wire):
    """Something that the model claims; `supported` says whether what it cites speaks of it."""

    text: str
    evidence: list[str]
    supported: bool


class ModelHypothesis(Wire):
    summary: str
    likelihood: Confidence
    evidence: list[str]
    supported: bool


class ModelOpinion(Wire):
    """What a model said, beside what is proven."""

    provider: str
    model: str
    verdict: Literal["agrees", "disagrees", "further", "unsupported", "none"]
    summary: str | None
    root_objects: list[ResourceReference]
    cause: str
    confidence: Confidence
    claims: list[ModelClaim]
    hypotheses: list[ModelHypothesis]
    workflow_id: str | None
    """What it would choose of the workflows that fit."""
    rationale: str | None
    notes: list[str]
    """What went wrong."""
    requests: int
    tool_calls: int
    total_prompt_tokens: int
    total_completion_tokens: int
    seconds: float
    cost: float | None
    """In the currency of the settings; null where no price is set."""


class IncidentResponse(Wire):
    """The result. Every documented field is there; null where nothing is known."""

    incident_id: str
    analysis: str
    root_cause: str
    root_cause_analysis: RootCauseAnalysis
    investigation_outcome: Outcome
    confidence: Confidence
    actionable: bool | None
    is_actionable: bool | None
    selected_workflow: SelectedWorkflow | None
    remediation_target: ResourceReference | None
    detected_labels: AnyObject | None
    needs_human_review: bool
    human_review_reason: HumanReviewReason | None
    warnings: list[str]
    alternative_workflows: list[AlternativeWorkflow]
    validation_attempts_history: list[ValidationAttempt]
    alignment_verdict: AlignmentVerdict | None
    """Null: no second model judges the first."""
    model_opinion: ModelOpinion | None
    """Null where no model was asked."""
    timestamp: Timestamp


class Configuration(Wire):
    """What runs, without secrets."""

    service: str
    version: str
    llm_provider: str | None
    llm_model: str | None
    session_ttl: str
    limits: AnyObject
