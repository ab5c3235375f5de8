"""Whom a workload calls, as far as its own settings say so."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from stellwerk.inquiry.facts.facts import Facts
from stellwerk.inquiry.facts.naming import named, ref_of
from stellwerk.inquiry.facts.templates import Setting, containers, own_settings, pod_spec
from stellwerk.inquiry.model import ObjectRef
from stellwerk.release.conditions import entries, part
from stellwerk.release.objects import Body

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_HOST = rf"(?P<host>{_LABEL}(?:\.{_LABEL})*)"
_ADDRESSES = (
    re.compile(rf"[a-z][a-z0-9+.-]{{0,20}}://(?:[^/\s@]*@)?{_HOST}(?::(?P<port>\d{{1,5}}))?"),
    re.compile(rf"(?<![\w.:/@-]){_HOST}:(?P<port>\d{{2,5}})(?![\w.])"),
)
_WHOLE = re.compile(rf"{_HOST}\Z")
_HOST_VARIABLE = re.compile(r"(?:HOST|HOSTNAME|ADDR|ADDRESS|SERVICE|SERVER|ENDPOINT|UPSTREAM|BACKEND)S?\Z")
_LINKED = re.compile(r"\$[({]?([A-Z][A-Z0-9_]*)_SERVICE_HOST")
"""The variables that Kubernetes gives for every Service."""
LONGEST_TEXT = 65_536


@dataclass(frozen=True, slots=True)
class Dependency:
    """One Service that a workload is told to call."""

    service: ObjectRef
    setting: Setting
    host: str
    """As it is written."""
    port: int | None = None


def dependencies(facts: Facts, workload: Body) -> list[Dependency]:
    """List the services that a workload's settings name, also those that are not there."""
    namespace = ref_of(workload).namespace
    found: dict[ObjectRef, Dependency] = {}
    for setting in settings_of(facts, workload):
        for one in _in_setting(facts, setting, namespace):
            found.setdefault(one.service, one)
    return list(found.values())


def settings_of(facts: Facts, workload: Body, container: str | None = None) -> Iterator[Setting]:
    """List all that a workload's containers (or this one) are told, ConfigMaps included."""
    namespace = ref_of(workload).namespace
    for one in containers(workload):
        if container is not None and one.get("name") != container:
            continue
        yield from own_settings(one)
        yield from _from_variables(facts, one, namespace)
        yield from _from_files(facts, workload, one, namespace)


def _from_variables(facts: Facts, container: Body, namespace: str) -> Iterator[Setting]:
    for one in entries(container, "env"):
        source = part(one, "valueFrom", "configMapKeyRef")
        name = str(source.get("name", ""))
        text = _data(facts, namespace, name).get(str(source.get("key")))
        if text:
            yield Setting(f"env {one.get('name')}", str(one.get("name")), text, ("ConfigMap", name))
    for one in entries(container, "envFrom"):
        name = str(part(one, "configMapRef").get("name", ""))
        prefix = str(one.get("prefix") or "")
        for key, text in _data(facts, namespace, name).items():
            yield Setting(f"env {prefix}{key}", f"{prefix}{key}", text, ("ConfigMap", name))


def _from_files(facts: Facts, workload: Body, container: Body, namespace: str) -> Iterator[Setting]:
    sources = {one.get("name"): one for one in entries(pod_spec(workload), "volumes")}
    for mount in entries(container, "volumeMounts"):
        name = str(part(sources.get(mount.get("name")) or {}, "configMap").get("name", ""))
        for key, text in _data(facts, namespace, name).items():
            path = str(mount.get("mountPath", ""))
            path = path if mount.get("subPath") == key else f"{path.rstrip('/')}/{key}"
            yield Setting(f"file {path}", path, text, ("ConfigMap", name), read_at_start=False)


def _data(facts: Facts, namespace: str, name: str) -> dict[str, str]:
    body = facts.get(named("ConfigMap", namespace, name)) if name else None
    return {key: str(value) for key, value in part(body or {}, "data").items()}


def _in_setting(facts: Facts, setting: Setting, namespace: str) -> Iterator[Dependency]:
    text = setting.text[:LONGEST_TEXT]
    for match in _LINKED.finditer(text):
        name = match[1].lower().replace("_", "-")
        yield Dependency(named("Service", namespace, name), setting, name)
    for pattern in _ADDRESSES:
        for match in pattern.finditer(text):
            yield from _named_by(facts, setting, namespace, match)
    whole = _WHOLE.match(text.strip())
    if whole and (
        _HOST_VARIABLE.search(setting.name) or facts.get(named("Service", namespace, whole["host"]))
    ):
        yield from _named_by(facts, setting, namespace, whole)


def _named_by(facts: Facts, setting: Setting, namespace: str, match: re.Match[str]) -> Iterator[Dependency]:
    host = match["host"]
    service = service_named(facts, host, namespace)
    if service is None:
        return
    port = match.groupdict().get("port")
    plain_value = setting.where.startswith(("env", "file"))
    if facts.get(service) is None and not plain_value:
        return  # words of a script look like hosts too easily
    yield Dependency(service, setting, host, int(port) if port else None)


def service_named(facts: Facts, host: str, namespace: str) -> ObjectRef | None:
    """Return the Service that a host name or address means, there or not; None if it is none of a cluster."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return next(
            (ref_of(one) for one in facts.of("Service") if part(one, "spec").get("clusterIP") == host), None
        )
    labels = host.split(".")
    if host == "localhost" or labels[0].isdigit():
        return None
    if len(labels) == 1:
        return named("Service", namespace, host)
    if len(labels) == 2 and facts.get(named("Service", labels[1], labels[0])) is None:
        return None  # `example.com` is no Service; one of another namespace is known if it is there
    if len(labels) == 2 or labels[2] == "svc":
        return named("Service", labels[1], labels[0])
    return None
