"""The words of an investigation: what is asked, what was seen, what is proven, what follows.

All of it is stored as JSON between phases, so everything here is a frozen struct. What comes from the cluster
or from a request is untrusted text: it is shown, and never followed.
"""

from enum import StrEnum
from typing import Any, Literal, NamedTuple

import msgspec

Source = Literal["object", "event", "log", "list", "change", "metric", "endpoint"]
"""What an item of evidence was taken from."""


class ObjectRef(NamedTuple):
    """One object of the cluster."""

    kind: str
    namespace: str
    """Empty for what belongs to the whole cluster."""
    name: str
    api_version: str = ""
    """Empty where only the kind is known."""

    def __str__(self) -> str:
        """Return `Kind/name in namespace`."""
        return f"{self.kind}/{self.name}" + (f" in {self.namespace}" if self.namespace else "")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What an investigation is about, and what the signal says of it."""

    object: ObjectRef
    signal: str = ""
    """Name of the alert: `KubePodCrashLooping`."""
    message: str = ""
    """A hint of where to look; proves nothing."""
    since: int | None = None
    """When the trouble began, microseconds UTC, if the signal says so."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What collecting may cost. Where it ends, the bundle says what was left out."""

    calls: int = 60
    """Requests to the cluster."""
    size_bytes: int = 8_388_608
    """Text that is kept."""
    seconds: float = 20.0
    log_lines: int = 200
    """Of each container and run."""


class LogText(msgspec.Struct, frozen=True, kw_only=True):
    """The last lines of a container, masked."""

    namespace: str
    pod: str
    container: str
    previous: bool
    text: str


Measure = Literal["cpu_throttled", "memory_bytes", "restarts", "failed_share"]
"""What is measured: share of CPU periods with throttling; working set; restarts since the pod began; share of
answered requests that are errors of the server."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a pod, or of one of its containers."""

    measure: Measure
    pod: ObjectRef
    container: str = ""
    """Empty where the whole pod is measured."""
    points: tuple[tuple[int, float], ...]
    """Microseconds UTC and value; the earliest first, never empty."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody changed before the trouble."""

    object: ObjectRef
    at: int
    """Microseconds UTC."""
    by: str
    """Field manager, or author of the release."""
    what: str
    """For people: `image app: v1 → v2`."""
    release: int | None = None
    """The revision of ours that did it."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could not be looked at: it is not known to be broken, nor to be well."""

    what: str
    """`Secret in shop`, `logs of pod web-1`."""
    why: str
    """`forbidden`, `budget`, `unavailable`, `gone`, …, with the cluster's words behind."""
    object: ObjectRef | None = None


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What collecting did cost."""

    calls: int = 0
    size_bytes: int = 0
    seconds: float = 0.0


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """All that was seen at one time; conclusions are drawn from it alone."""

    target: Target
    at: int
    """When it was collected, microseconds UTC."""
    objects: tuple[dict[str, Any], ...] = ()
    """As the cluster holds them, masked; values of Secrets replaced by keyed hashes or left out."""
    logs: tuple[LogText, ...] = ()
    changes: tuple[Change, ...] = ()
    metrics: tuple[Series, ...] = ()
    """Empty where no Prometheus is configured."""
    gaps: tuple[Gap, ...] = ()
    spent: Spent = Spent()


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was seen and proves something."""

    id: str
    """Unique in its investigation: `e1`."""
    source: Source
    object: ObjectRef
    excerpt: str
    """The words that matter, masked, short enough to be read."""
    at: int | None = None
    """When it happened, microseconds UTC, if it is known."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One proven fact about one object."""

    code: str
    """A word for programs, which workflows name as cause: `ImagePullFailed`, `OomKilled`."""
    object: ObjectRef
    summary: str
    """One sentence with the exact values."""
    evidence: tuple[str, ...]
    """Ids; never empty."""
    facts: dict[str, str] = {}
    """Values that remedies need: `container`, `image`, `key`, `limit`."""
    severity: Literal["critical", "warning", "info"] = "critical"


class CausalStep(msgspec.Struct, frozen=True, kw_only=True):
    """One link of the chain; the first is what was noticed, the last the root."""

    summary: str
    object: ObjectRef
    evidence: tuple[str, ...]
    code: str = ""


class Outcome(StrEnum):
    """How an investigation ended. The set is closed."""

    WORKFLOW_SELECTED = "workflow_selected"
    """The cause is known, and a workflow of the catalogue fits."""
    NO_WORKFLOW = "no_workflow"
    """The cause is known, and nothing of the catalogue fits. `conclude` says this of every known cause."""
    NOT_ACTIONABLE = "not_actionable"
    """The target is healthy, or as somebody wants it."""
    RESOLVED = "resolved"
    """There was trouble, and it is over."""
    INCONCLUSIVE = "inconclusive"
    """What could be seen proves no cause; `missing` says what would."""


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a bundle."""

    outcome: Outcome
    summary: str
    confidence: float
    """From 0 to 1: how likely the root objects are exactly these."""
    cause: str = ""
    """The code of the root's finding; empty where there is no root."""
    root_objects: tuple[ObjectRef, ...] = ()
    causal_chain: tuple[CausalStep, ...] = ()
    contributing_factors: tuple[str, ...] = ()
    remediation_target: ObjectRef | None = None
    """What would have to be changed."""
    facts: dict[str, str] = {}
    """Of the root's finding."""
    introduced_by: Change | None = None
    findings: tuple[Finding, ...] = ()
    """All of them, also those that are no part of the chain."""
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    """What would have to be known; one sentence each."""
    detected_labels: dict[str, Any] = {}
    """`gitOpsManaged`, `helmManaged`, `stateful`, …, and `failedDetections`."""
    by_model: bool = False
    """Whether the root is what a model says, and not proven."""
