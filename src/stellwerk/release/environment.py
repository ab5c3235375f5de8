"""Which variables the programs of a service get, and where their values come from.

Values that a Secret or a ConfigMap holds are named, not read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stellwerk.release.clusters.cluster import Cluster
from stellwerk.release.clusters.kinds import Kind
from stellwerk.release.objects import Body, Key
from stellwerk.release.ownership import owner_of

_KINDS = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: with a value, or with the place that has it."""

    name: str
    value: str | None = None
    source: str | None = None


class UnknownWorkload(LookupError):
    """The application has no such Service or workload in the namespace."""


async def environment(cluster: Cluster, application: str, namespace: str, name: str) -> list[Variable]:
    """Return the variables of the workload behind a Service, or of that name.

    Only of what the application deployed: others' are not ours to show. Raises UnknownWorkload.
    """
    service = await cluster.get(Key(namespace, "Service", name))
    if service is not None and not _is_ours(service, application):
        service = None
    selector = None if service is None else (service.get("spec") or {}).get("selector")
    for kind in _KINDS:
        for body in await cluster.list(Kind(kind, "apps"), namespace=namespace):
            if _is_ours(body, application) and _is_meant(body, name, selector):
                return list(variables(body))
    if service is None:
        raise UnknownWorkload(f"{application} has no service {name} in namespace {namespace}")
    return []


def variables(workload: Body) -> Iterator[Variable]:
    """List the variables of a workload's containers."""
    for container in _template(workload).get("spec", {}).get("containers") or ():
        for one in container.get("env") or ():
            yield _variable(one)
        for one in container.get("envFrom") or ():
            prefix = one.get("prefix") or ""
            for field, word in (("secretRef", "secret"), ("configMapRef", "configmap")):
                if field in one:
                    yield Variable(f"{prefix}*", source=f"{word}:{one[field].get('name')}/*")


def _variable(one: Mapping[str, Any]) -> Variable:
    origin = one.get("valueFrom") or {}
    for field, word in (("secretKeyRef", "secret"), ("configMapKeyRef", "configmap")):
        if field in origin:
            return Variable(
                one["name"], source=f"{word}:{origin[field].get('name')}/{origin[field].get('key')}"
            )
    for field in ("fieldRef", "resourceFieldRef"):
        if field in origin:
            return Variable(
                one["name"], source=f"field:{origin[field].get('fieldPath') or origin[field].get('resource')}"
            )
    return Variable(one["name"], value=str(one.get("value", "")))


def _is_ours(body: Body, application: str) -> bool:
    owner = owner_of(body)
    return owner is not None and owner.identity.application == application


def _is_meant(body: Body, name: str, selector: Mapping[str, str] | None) -> bool:
    if selector:
        labels = (_template(body).get("metadata") or {}).get("labels") or {}
        return all(labels.get(key) == value for key, value in selector.items())
    return bool(body["metadata"]["name"] == name)


def _template(body: Body) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (body.get("spec") or {}).get("template") or {}
    return found
