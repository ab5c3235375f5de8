"""Autoscalers that cannot scale, and budgets that let no pod go."""

import json
from collections.abc import Iterator

from stellwerk.inquiry.analyzers.clue import Clue
from stellwerk.inquiry.analyzers.quoting import condition_said, not_there, said
from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import ref_of
from stellwerk.inquiry.facts.references import references_of
from stellwerk.inquiry.facts.templates import containers, labels_of, selects_by
from stellwerk.release.conditions import condition, part, status_of
from stellwerk.release.objects import Body

_OLD_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
"""Where `autoscaling/v1` keeps what newer versions have in the status."""


def examine(facts: Facts) -> Iterator[Clue]:
    """Find autoscalers and budgets that stand still."""
    for scaler in facts.of("HorizontalPodAutoscaler"):
        yield from _of_scaler(facts, scaler)
    for budget in facts.of("PodDisruptionBudget"):
        yield from _of_budget(facts, budget)


def _of_scaler(facts: Facts, scaler: Body) -> Iterator[Clue]:
    target = next(references_of(scaler))
    body = facts.get(target)
    scaler = _with_conditions(scaler)
    able, active = condition(scaler, "AbleToScale"), condition(scaler, "ScalingActive")
    if body is None and facts.absent(target) and target.kind in {"Deployment", "StatefulSet", "ReplicaSet"}:
        seen = [not_there(target)] + ([condition_said(scaler, "AbleToScale", able)] if able.fails else [])
        yield Clue(
            "ScaleTargetMissing",
            ref_of(scaler),
            f"{ref_of(scaler)} is to scale {target}, which is not there",
            tuple(seen),
            facts={"missing": target.name},
            strength=0.95,
        )
        return
    if not active.fails or body is None:
        return
    quoted = condition_said(scaler, "ScalingActive", active)
    if "missing request for" in active.message or not any(
        part(one, "resources", "requests") for one in containers(body)
    ):
        yield Clue(
            "ScalerWithoutRequests",
            ref_of(scaler),
            f"{ref_of(scaler)} cannot scale: the containers of {target} request nothing that "
            "could be measured",
            (quoted, said(body, "containers without resources.requests")),
            blames=(target,),
            strength=0.8,
        )
    elif active.reason != "ScalingDisabled":
        yield Clue(
            "MetricsUnavailable",
            ref_of(scaler),
            f"{ref_of(scaler)} gets no metrics: {active.message}",
            (quoted,),
            strength=0.7,
        )


def _with_conditions(scaler: Body) -> Body:
    text = part(scaler, "metadata", "annotations").get(_OLD_CONDITIONS)
    if not text or status_of(scaler).get("conditions"):
        return scaler
    try:
        return scaler | {"status": status_of(scaler) | {"conditions": json.loads(text)}}
    except ValueError:
        return scaler


def _of_budget(facts: Facts, budget: Body) -> Iterator[Clue]:
    status = status_of(budget)
    expected, healthy = int(status.get("expectedPods") or 0), int(status.get("currentHealthy") or 0)
    wanted = int(status.get("desiredHealthy") or 0)
    if status.get("disruptionsAllowed", 1) or not expected:
        return
    quoted = said(budget, f"disruptionsAllowed 0: {healthy} of {expected} pods are healthy, {wanted} must be")
    if healthy >= wanted:
        spec = part(budget, "spec")
        limit = ", ".join(
            f"{name} {spec[name]}" for name in ("minAvailable", "maxUnavailable") if name in spec
        )
        yield Clue(
            "BudgetBlocksEviction",
            ref_of(budget),
            f"{ref_of(budget)} ({limit}) lets no pod go, although all are healthy",
            (quoted,),
            facts={"limit": limit},
        )
        return
    concerned = tuple(
        ref_of(one)
        for one in facts.workloads
        if ref_of(one).namespace == ref_of(budget).namespace
        and selects_by(part(budget, "spec", "selector"), labels_of(one))
    )
    yield Clue(
        "BudgetUsedUp",
        ref_of(budget),
        f"{ref_of(budget)} lets no pod go because {expected - healthy} are not healthy",
        (quoted,),
        "effect",
        points_to=concerned,
    )
