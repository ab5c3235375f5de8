"""What a pod's containers need before they can start, and what of it is not there, in the kubelet's words."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stellwerk.release.clusters.sandbox.table import Table
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body, Key


class _Need(NamedTuple):
    kind: str
    name: str
    key: str | None = None
    """Within it; None for all of it."""


def missing_settings(table: Table, pod: Body, container: Mapping[str, Any]) -> str:
    """Say what a container's environment needs and does not find; empty if nothing."""
    return _first_missing(table, pod, _of_environment(container))


def missing_volume(table: Table, pod: Body) -> tuple[str, str]:
    """Return the volume that cannot be mounted, and what it lacks; empty if there is none."""
    for volume in entries(part(pod, "spec"), "volumes"):
        if lack := _first_missing(table, pod, _of_volume(volume)):
            return str(volume.get("name", "")), lack
    return "", ""


def _first_missing(table: Table, pod: Body, needs: Iterator[_Need]) -> str:
    namespace = pod["metadata"]["namespace"]
    for need in needs:
        found = table.get(Key(namespace, need.kind, need.name))
        if found is None:
            return f'{need.kind.lower()} "{need.name}" not found'
        held = part(found, "data").keys() | part(found, "binaryData").keys()
        if need.key is not None and need.key not in held:
            return f"couldn't find key {need.key} in {need.kind} {namespace}/{need.name}"
    return ""


def _of_environment(container: Mapping[str, Any]) -> Iterator[_Need]:
    for one in entries(container, "envFrom"):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if (source := part(one, field)) and not source.get("optional"):
                yield _Need(kind, str(source.get("name", "")))
    for one in entries(container, "env"):
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if (source := part(one, "valueFrom", field)) and not source.get("optional"):
                yield _Need(kind, str(source.get("name", "")), str(source.get("key", "")))


def _of_volume(volume: Mapping[str, Any]) -> Iterator[_Need]:
    yield from _of_source(part(volume, "configMap"), "ConfigMap", "name")
    yield from _of_source(part(volume, "secret"), "Secret", "secretName")
    for one in entries(part(volume, "projected"), "sources"):
        yield from _of_source(part(one, "configMap"), "ConfigMap", "name")
        yield from _of_source(part(one, "secret"), "Secret", "name")


def _of_source(source: Mapping[str, Any], kind: str, field: str) -> Iterator[_Need]:
    if not source or source.get("optional"):
        return
    name = str(source.get(field, ""))
    yield _Need(kind, name)
    for item in entries(source, "items"):
        yield _Need(kind, name, str(item.get("key", "")))
