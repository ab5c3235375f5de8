"""Which workflow fits a cause: a pure rule over the conclusion, what is known of the target, and history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from stellwerk.inquiry.model import Conclusion, ObjectRef
from stellwerk.inquiry.remedies.choice import Alternative, Checked, Choice, Chosen
from stellwerk.inquiry.remedies.workflow import ANY, RISKS, Precondition, Risk, Workflow, faults_of

ALTERNATIVES = 5


@dataclass(frozen=True, slots=True)
class Tries:
    """How a workflow went for a cause until now."""

    helped: int = 0
    failed: int = 0
    failed_here: bool = False
    """Whether it was tried on this very target lately, and did not help."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a target beside the cause."""

    holds: frozenset[Precondition] = frozenset()
    tries: Mapping[str, Tries] = field(default_factory=dict)
    """By workflow."""
    now_us: int = 0
    release: int | None = None
    """The release of ours that introduced the cause, if one did."""
    released_by: str = ""


_WHY: Mapping[Precondition, str] = {
    "managed": "the target was not deployed by Stellwerk",
    "not_managed": "the target was deployed by Stellwerk, whose releases would be contradicted",
    "not_gitops": "the target is kept by a GitOps tool, which would undo the change",
    "introduced_by_release": "no release of ours brought the fault",
    "earlier_release": "there is no earlier release that succeeded",
    "earlier_revision": "the cluster keeps no earlier revision of it",
    "regression": "the fault did not come with the newest revision",
    "missing": "the target is there",
    "present": "the target is not there",
}


def select(conclusion: Conclusion, at: Circumstances, workflows: Sequence[Workflow]) -> Chosen:
    """Choose the workflow that most likely helps; ties go to the one with less risk."""
    target = conclusion.remediation_target
    if target is None:
        return Chosen()
    looked = [(one, obstacles(one, conclusion, at)) for one in workflows if _is_for(one, conclusion, target)]
    fitting = sorted(
        (one for one, errors in looked if not errors),
        key=lambda one: (-confidence(one, conclusion, at), RISKS.index(one.risk), one.id),
    )
    checked = tuple(Checked(workflow_id=one.id, errors=tuple(errors), at=at.now_us) for one, errors in looked)
    if not fitting:
        return Chosen(checked=checked)
    alternatives = tuple(
        Alternative(
            workflow_id=one.id,
            confidence=confidence(one, conclusion, at),
            rationale=rationale(one, conclusion),
        )
        for one in fitting[1 : ALTERNATIVES + 1]
    )
    return Chosen(choice=chosen(fitting[0], conclusion, at), alternatives=alternatives, checked=checked)


def chosen(
    workflow: Workflow, conclusion: Conclusion, at: Circumstances, given: Mapping[str, Any] | None = None
) -> Choice:
    """Make a choice of a workflow; `given` parameters win over those that are known."""
    target = conclusion.remediation_target
    parameters = {**parameters_of(workflow, conclusion), **(given or {})}
    if target is not None:
        # The published names, which every executor knows.
        parameters |= {
            "TARGET_RESOURCE_KIND": target.kind,
            "TARGET_RESOURCE_NAME": target.name,
            "TARGET_RESOURCE_NAMESPACE": target.namespace,
            "TARGET_RESOURCE_API_VERSION": target.api_version,
        }
    return Choice(
        workflow_id=workflow.id,
        name=workflow.name,
        version=workflow.version,
        action_type=workflow.action_type,
        executor=workflow.executor,
        risk=workflow.risk,
        parameters=parameters,
        confidence=confidence(workflow, conclusion, at),
        rationale=rationale(workflow, conclusion),
    )


def advised(chosen: Chosen, preferred: Choice | None) -> Chosen:
    """Take what a model prefers among those that fit, unless that is riskier than what the rule chose."""
    first = chosen.choice
    if first is None or preferred is None or RISKS.index(_risk(preferred)) > RISKS.index(_risk(first)):
        return chosen
    others = [one for one in chosen.alternatives if one.workflow_id != preferred.workflow_id]
    passed = Alternative(
        workflow_id=first.workflow_id, confidence=first.confidence, rationale=first.rationale
    )
    return replace(chosen, choice=preferred, alternatives=(passed, *others))


def obstacles(
    workflow: Workflow,
    conclusion: Conclusion,
    at: Circumstances,
    given: Mapping[str, Any] | None = None,
) -> list[str]:
    """List what stands against a workflow; nothing if it can be carried out."""
    found = [_WHY[one] for one in workflow.preconditions if one not in at.holds]
    target = conclusion.remediation_target
    if target is None:
        found.append("the cause names nothing that could be changed")
    elif ANY not in workflow.targets and target.kind not in workflow.targets:
        found.append(f"it is for {', '.join(workflow.targets)} and not for {target.kind}")
    found += faults_of(workflow, {**parameters_of(workflow, conclusion), **(given or {})})
    if at.tries.get(workflow.id, Tries()).failed_here:
        found.append("it was tried on this target lately, and did not help")
    return found


def parameters_of(workflow: Workflow, conclusion: Conclusion) -> dict[str, Any]:
    """Return the parameters that are known without asking anybody."""
    taken = {
        name: conclusion.facts[fact] for name, fact in workflow.take.items() if conclusion.facts.get(fact)
    }
    return {**workflow.defaults, **taken}


def confidence(workflow: Workflow, conclusion: Conclusion, at: Circumstances) -> float:
    """Tell how likely a workflow helps: the cause must be right, and the workflow must be good for it."""
    tries = at.tries.get(workflow.id, Tries())
    # Two imagined successes, so that one failure does not rule a workflow out.
    history = (tries.helped + 2) / (tries.helped + tries.failed + 2)
    return round(min(1.0, conclusion.confidence * workflow.fit * history), 3)


def rationale(workflow: Workflow, conclusion: Conclusion) -> str:
    """Say why a workflow was chosen."""
    cause = f"{conclusion.cause}: " if conclusion.cause else ""
    return f"{cause}{workflow.description.when_to_use}"


def _risk(choice: Choice) -> Risk:
    return next((one for one in RISKS if one == choice.risk), "high")


def _is_for(workflow: Workflow, conclusion: Conclusion, target: ObjectRef) -> bool:
    if conclusion.cause not in workflow.causes and ANY not in workflow.causes:
        return False
    return ANY in workflow.targets or target.kind in workflow.targets
