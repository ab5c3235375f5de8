"""What the sandbox refuses, in the words of a cluster."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stellwerk.release.clusters.errors import RefusalReason, Refused
from stellwerk.release.clusters.kinds import KindInfo
from stellwerk.release.clusters.sandbox.table import Table
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body, Key

PROTECTED = frozenset({"default", "kube-node-lease", "kube-public", "kube-system"})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_ANY_NAME = re.compile(r"[^/%]{1,253}\Z")
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?\Z")

_IMMUTABLE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "ConfigMap"): (),
    ("", "PersistentVolumeClaim"): ("spec.accessModes", "spec.storageClassName", "spec.volumeName"),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "ReplicaSet"): ("spec.selector",),
    ("apps", "StatefulSet"): ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
    ("batch", "Job"): ("spec.selector", "spec.template", "spec.completions"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): ("roleRef",),
    ("rbac.authorization.k8s.io", "RoleBinding"): ("roleRef",),
}
_SELECTING = frozenset({"DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"})


def check_place(info: KindInfo, key: Key) -> None:
    """Refuse an object with a name or a namespace that its kind cannot have. Raises Refused."""
    if not info.namespaced and key.namespace:
        raise Refused("invalid", f"an object of the kind {key.kind} has no namespace", 422)
    if info.namespaced and not key.namespace:
        raise Refused("invalid", f"an object of the kind {key.kind} needs a namespace", 422)
    pattern = _ANY_NAME if key.group == "rbac.authorization.k8s.io" else _NAME
    if not pattern.match(key.name):
        text = (
            "metadata.name: Invalid value: a lowercase RFC 1123 subdomain must consist of a-z, 0-9, - and ."
        )
        raise _invalid(key, f"{text}: {key.name!r}")


def check_namespace(table: Table, key: Key, *, new: bool) -> None:
    """Refuse an object whose namespace is not there, or takes nothing new. Raises Refused."""
    if not key.namespace:
        return
    space = table.get(Key("", "Namespace", key.namespace))
    if space is None:
        raise Refused("namespace_missing", f'namespaces "{key.namespace}" not found', 404)
    if new and space["metadata"].get("deletionTimestamp"):
        text = f"unable to create new content in namespace {key.namespace} because it is being terminated"
        raise Refused("namespace_terminating", text, 403)


def check_change(key: Key, before: Body, after: Body) -> None:
    """Refuse a change of what cannot change. Raises Refused."""
    for path in _IMMUTABLE.get((key.group, key.kind), ()):
        old, new = _at(before, path), _at(after, path)
        if old is not None and old != new:
            text = "cannot change roleRef" if path == "roleRef" else f"{path}: field is immutable"
            raise _invalid(key, text, "immutable")
    if before.get("immutable") and any(
        before.get(name) != after.get(name) for name in ("data", "binaryData")
    ):
        raise _invalid(key, "data: field is immutable when `immutable` is set", "immutable")


def check_body(key: Key, body: Body) -> None:
    """Refuse an object that cannot be. Raises Refused."""
    for wrong in _wrong(key, body):
        raise _invalid(key, wrong)


def _wrong(key: Key, body: Body) -> Iterator[str]:
    for name, value in part(body, "metadata", "labels").items():
        if not isinstance(value, str) or not _LABEL.match(value):
            yield f"metadata.labels: Invalid value: {value!r} of {name}"
    if (key.group, key.kind) == ("", "ConfigMap"):
        for name, value in part(body, "data").items():
            if not isinstance(value, str):
                yield f"data.{name}: expected string, got {value!r}"
    if (key.group, key.kind) == ("", "Service"):
        yield from _wrong_ports(body)
    if key.group in {"apps", "batch"} and "template" in part(body, "spec"):
        yield from _wrong_selector(key, body)
        claims = {
            part(one, "metadata").get("name") for one in entries(part(body, "spec"), "volumeClaimTemplates")
        }
        yield from _wrong_pod(part(body, "spec", "template", "spec"), "spec.template.spec", claims)
    elif key.group == "apps":
        yield "spec.template: Required value"
    if key.kind == "Job" and not part(body, "spec", "template", "spec").get("restartPolicy"):
        yield 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    if (key.group, key.kind) == ("", "Pod"):
        yield from _wrong_pod(part(body, "spec"), "spec", set())


def _wrong_ports(body: Body) -> Iterator[str]:
    spec = part(body, "spec")
    if spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None" and not spec.get("ports"):
        yield "spec.ports: Required value"
    for one in entries(spec, "ports"):
        port = one.get("port")
        if not isinstance(port, int) or not 0 < port < 65536:
            yield f"spec.ports.port: Invalid value: {port!r}: must be between 1 and 65535, inclusive"


def _wrong_selector(key: Key, body: Body) -> Iterator[str]:
    if key.kind not in _SELECTING:
        return
    selector = part(body, "spec", "selector")
    labels = part(body, "spec", "template", "metadata", "labels")
    if not selector:
        yield "spec.selector: Required value"
    elif any(labels.get(name) != value for name, value in part(selector, "matchLabels").items()):
        yield "spec.template.metadata.labels: Invalid value: `selector` does not match template `labels`"


def _wrong_pod(spec: Mapping[str, Any], at: str, claims: set[Any]) -> Iterator[str]:
    containers = entries(spec, "containers")
    if not containers:
        yield f"{at}.containers: Required value"
    volumes = claims | {one.get("name") for one in entries(spec, "volumes")}
    for number, one in enumerate(containers):
        place = f"{at}.containers[{number}]"
        if not one.get("name"):
            yield f"{place}.name: Required value"
        if not one.get("image"):
            yield f"{place}.image: Required value"
        for mount in entries(one, "volumeMounts"):
            if mount.get("name") not in volumes:
                yield f"{place}.volumeMounts: Not found: {mount.get('name')!r}"
    names = [one.get("name") for one in containers]
    if len(set(names)) < len(names):
        yield f"{at}.containers: Duplicate value"


def _at(body: Mapping[str, Any], path: str) -> Any:
    *holders, name = path.split(".")
    return part(body, *holders).get(name)


def _invalid(key: Key, text: str, reason: RefusalReason = "invalid") -> Refused:
    return Refused(reason, f'{key.kind} "{key.name}" is invalid: {text}', 422)
