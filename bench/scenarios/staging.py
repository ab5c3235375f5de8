"""Making a fault on the cluster, and taking it away again."""

import asyncio
import fnmatch
import json
import re
from collections.abc import Sequence
from typing import Any

from bench.scenarios.scenario import Step
from bench.scenarios.variants import Variant
from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.errors import ClusterError, Gone
from stellwerk.release.clusters.kinds import Kind, kind_of
from stellwerk.release.objects import Body, key_of

MANAGER = "scenario"
LOOK_S = 0.7
GROUPS = {
    "CronJob": "batch",
    "DaemonSet": "apps",
    "Deployment": "apps",
    "HorizontalPodAutoscaler": "autoscaling",
    "Ingress": "networking.k8s.io",
    "Job": "batch",
    "NetworkPolicy": "networking.k8s.io",
    "PodDisruptionBudget": "policy",
    "ReplicaSet": "apps",
    "StatefulSet": "apps",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io",
}
FIRST = (
    "Namespace",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "Role",
    "Service",
)
"""Pods are told of services when they start; the order of the rest is the variant's."""


class NotStaged(Exception):
    """The fault did not show itself in time; the message says what was waited for."""


async def stage(cluster: Cluster, variant: Variant) -> None:
    """Make the namespace, the noise and the fault, and wait until it shows. Raises NotStaged."""
    labels = {"suite": variant.namespace}
    await _apply(
        cluster,
        [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": variant.namespace, "labels": labels},
            }
        ],
        "",
    )
    await _apply(cluster, variant.noise(), variant.namespace)
    if variant.crowd:
        wanted = {"kind": "Deployment", "name": "crowd", "matches": f'"replicas":{variant.crowd}'}
        await _until(cluster, variant, Step(until=(wanted,)))
    for step in variant.scenario.steps:
        if step.apply:
            await _apply(cluster, variant.manifests(step.apply), variant.namespace)
        for what in step.delete:
            await _delete(cluster, variant, what)
        await _until(cluster, variant, step)
        await asyncio.sleep(step.settle_s)


async def clear(cluster: Cluster, variant: Variant) -> None:
    """Remove everything; what cannot go is helped."""
    for step in variant.scenario.steps:
        for body in variant.manifests(step.apply) if step.apply else ():
            key = key_of(body)
            try:
                info = await cluster.resolve(kind_of(body))
                if body["metadata"].get("finalizers"):
                    key = key._replace(namespace=variant.namespace)
                    await cluster.patch(key, {"metadata": {"finalizers": None}}, manager=MANAGER)
                if not info.namespaced:
                    await cluster.delete(key)
            except Gone:
                continue
    await cluster.delete(key_of({"kind": "Namespace", "metadata": {"name": variant.namespace}}))


async def _apply(cluster: Cluster, bodies: Sequence[Body], namespace: str) -> None:
    ordered = sorted(
        bodies, key=lambda body: FIRST.index(body["kind"]) if body["kind"] in FIRST else len(FIRST)
    )
    for body in ordered:
        info = await cluster.resolve(kind_of(body))
        metadata = body["metadata"] | ({"namespace": namespace} if info.namespaced else {})
        await _patiently(cluster, body | {"metadata": metadata})


async def _patiently(cluster: Cluster, body: Body) -> None:
    """Apply; a new namespace has its account a moment later, without which no pod is taken."""
    for _ in range(20):
        try:
            await cluster.apply(body, manager=MANAGER, force=True)
            return
        except ClusterError as error:
            if "serviceaccount" not in str(error) and "not found" not in str(error):
                raise
        await asyncio.sleep(0.3)
    await cluster.apply(body, manager=MANAGER, force=True)


async def _delete(cluster: Cluster, variant: Variant, what: str) -> None:
    kind, _, name = variant.fill(what).partition("/")
    for body in await cluster.list(Kind(kind, GROUPS.get(kind, "")), namespace=variant.namespace):
        if fnmatch.fnmatch(body["metadata"]["name"], name):
            await cluster.delete(key_of(body))


async def _until(cluster: Cluster, variant: Variant, step: Step) -> None:
    waiting = [{name: variant.fill(text) for name, text in one.items()} for one in step.until]
    ends_at = asyncio.get_running_loop().time() + variant.scenario.limit_s
    while waiting:
        waiting = [one for one in waiting if not await _shows(cluster, variant.namespace, one)]
        if waiting and asyncio.get_running_loop().time() > ends_at:
            raise NotStaged(f"{variant.scenario.name}: {waiting[0]}")
        if waiting:
            await asyncio.sleep(LOOK_S)


async def _shows(cluster: Cluster, namespace: str, wanted: dict[str, str]) -> bool:
    kind = wanted["kind"]
    for body in await cluster.list(Kind(kind, GROUPS.get(kind, "")), namespace=namespace):
        name = body["involvedObject"].get("name", "") if kind == "Event" else body["metadata"]["name"]
        if not fnmatch.fnmatch(name, wanted.get("about") or wanted.get("name") or "*"):
            continue
        text = json.dumps(_told(body), separators=(",", ":"))
        if "matches" in wanted and re.search(wanted["matches"], text):
            return True
        if "lacks" in wanted and not re.search(wanted["lacks"], text):
            return True
    return False


def _told(body: Body) -> dict[str, Any]:
    if body["kind"] == "Event":
        return {"text": f"{body.get('reason')}: {body.get('message')}"}
    return {name: value for name, value in body.items() if name not in {"metadata", "spec"}} | {
        "kind": body["kind"]
    }
