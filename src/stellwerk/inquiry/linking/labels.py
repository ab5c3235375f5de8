"""What kind of a thing a target is, in the words that choosers of workflows ask for."""

from typing import Any

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named
from stellwerk.inquiry.facts.references import references_of
from stellwerk.inquiry.facts.templates import labels_of, selects_by, template_of
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import part

_READ_FROM = {
    "pdbProtected": "PodDisruptionBudget",
    "hpaEnabled": "HorizontalPodAutoscaler",
    "networkIsolated": "NetworkPolicy",
    "resourceQuotaConstrained": "ResourceQuota",
}


def detected_labels(facts: Facts, unit: ObjectRef) -> dict[str, Any]:
    """Return what is known of a unit's surroundings; what could not be looked at is named as such."""
    body = facts.get(unit) or {}
    space = facts.get(named("Namespace", "", unit.namespace)) or {}
    notes = [
        part(one, "metadata", field)
        for one in (body, template_of(body) if body else {}, space)
        for field in ("labels", "annotations")
    ]
    flat = {name: str(value) for found in reversed(notes) for name, value in found.items()}
    tool = _git_ops(flat)
    mesh = _mesh(flat)
    own = labels_of(body) if body else {}
    budgets = facts.of("PodDisruptionBudget", unit.namespace)
    found: dict[str, Any] = {
        "gitOpsManaged": tool is not None,
        "helmManaged": flat.get("app.kubernetes.io/managed-by") == "Helm" or "helm.sh/chart" in flat,
        "stateful": unit.kind == "StatefulSet",
        "pdbProtected": any(own and selects_by(part(one, "spec", "selector"), own) for one in budgets),
        "hpaEnabled": any(
            unit in set(references_of(one)) for one in facts.of("HorizontalPodAutoscaler", unit.namespace)
        ),
        "networkIsolated": bool(facts.of("NetworkPolicy", unit.namespace)),
        "resourceQuotaConstrained": bool(facts.of("ResourceQuota", unit.namespace)),
        "failedDetections": sorted(
            label
            for label, kind in _READ_FROM.items()
            if not facts.absent(named(kind, unit.namespace, "")) and not facts.of(kind)
        ),
    }
    return found | ({"gitOpsTool": tool} if tool else {}) | ({"serviceMesh": mesh} if mesh else {})


def _git_ops(notes: dict[str, str]) -> str | None:
    if any(name.startswith("argocd.argoproj.io/") for name in notes):
        return "argocd"
    if any(name.startswith(("kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/")) for name in notes):
        return "flux"
    return None


def _mesh(notes: dict[str, str]) -> str | None:
    if "sidecar.istio.io/status" in notes or notes.get("sidecar.istio.io/inject") == "true":
        return "istio"
    if "linkerd.io/proxy-version" in notes or notes.get("linkerd.io/inject") == "enabled":
        return "linkerd"
    return None
