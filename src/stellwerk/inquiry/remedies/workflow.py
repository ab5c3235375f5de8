"""A workflow: one catalogued remedy, when it fits, what it needs, and who carries it out.

Nothing of a workflow is code. Its executor is one of a closed set, its parameters are checked by a schema,
and their values come from facts that are proven, from the workflow itself, or from who asks for it; never
from the cluster's text.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Risk = Literal["low", "medium", "high"]
RISKS: tuple[Risk, ...] = ("low", "medium", "high")
ExecutorName = Literal[
    "release.rollback",
    "release.redeploy",
    "release.parameters",
    "workload.restart",
    "workload.scale",
    "workload.undo",
    "workload.resume",
    "patch.image",
    "patch.memory",
    "patch.environment",
    "patch.probe",
    "node.uncordon",
    "agent.task",
    "traffic.weights",
]
Precondition = Literal[
    "managed",
    "not_managed",
    "not_gitops",
    "introduced_by_release",
    "earlier_release",
    "earlier_revision",
    "regression",
    "missing",
    "present",
]
"""What must hold of the target. `managed`: one of our releases owns it. `earlier_revision`: the cluster
itself keeps an earlier template of it. `regression`: the fault came with the newest revision.
`missing`: it is not there."""
ANY = "*"


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """For people, and for a model that chooses."""

    what: str
    when_to_use: str
    when_not_to_use: str = ""


class Workflow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One remedy of the catalogue."""

    id: str
    version: str = "1"
    name: str
    action_type: str
    description: Description
    causes: tuple[str, ...]
    """Codes of findings that it is good for; `*` is all. Empty: only if somebody names it."""
    targets: tuple[str, ...]
    """Kinds that it can be applied to; `*` is all."""
    preconditions: tuple[Precondition, ...] = ()
    risk: Risk
    fit: float = 0.5
    """How likely it helps if it fits, from 0 to 1, before anything is known of how it went."""
    executor: ExecutorName
    parameters: dict[str, Any] = {}
    """JSON Schema of an object."""
    defaults: dict[str, Any] = {}
    take: dict[str, str] = {}
    """Parameters that are taken from facts of the cause, by the name of the fact."""


class InvalidWorkflow(ValueError):
    """A workflow that cannot be used; the message says why."""


def check(workflow: Workflow) -> Workflow:
    """Return a workflow that can be used. Raises InvalidWorkflow."""
    import jsonschema_rs

    if not workflow.id or len(workflow.id) > 100 or not workflow.id.replace("-", "").isalnum():
        raise InvalidWorkflow(f"{workflow.id!r} is no id: use letters, digits and '-'")
    if not 0 <= workflow.fit <= 1:
        raise InvalidWorkflow(f"{workflow.id}: fit must be from 0 to 1")
    if not workflow.targets:
        raise InvalidWorkflow(f"{workflow.id}: targets names no kind")
    try:
        jsonschema_rs.validator_for(schema_of(workflow))
    except (ValueError, jsonschema_rs.ValidationError) as error:
        raise InvalidWorkflow(f"{workflow.id}: parameters is no JSON Schema: {error}") from error
    return workflow


def schema_of(workflow: Workflow) -> dict[str, Any]:
    """Return the schema of its parameters, which takes no others."""
    return {"type": "object", "additionalProperties": False, **workflow.parameters}


def faults_of(workflow: Workflow, parameters: Mapping[str, Any]) -> list[str]:
    """List what parameters do not keep of the schema."""
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(schema_of(workflow))
    return [
        "/".join(map(str, error.instance_path)) + (": " if error.instance_path else "") + error.message
        for error in validator.iter_errors(dict(parameters))
    ]
