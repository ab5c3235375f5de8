"""What a cluster serves, asked of itself.

Newer servers tell it in two answers (aggregated discovery, from 1.26 on); older ones in one for each API
group and version. A group whose own server is dead is left out and remembered as silent: it must not stop
the rest.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from stellwerk.release.clusters.errors import ClusterError, ClusterUnavailable, Refused
from stellwerk.release.clusters.kinds import KindInfo, Kinds
from stellwerk.release.clusters.kubernetes.transport import JSON, Call, Transport

AGGREGATED = ",".join(
    [
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        JSON,
    ]
)


async def discover(transport: Transport) -> Kinds:
    """Ask a cluster for the kinds that it serves. Raises ClusterUnavailable."""
    core, groups = await asyncio.gather(_ask(transport, "/api"), _ask(transport, "/apis"))
    if core.get("kind") == groups.get("kind") == "APIGroupDiscoveryList":
        return _aggregated([*core["items"], *groups["items"]])
    versions = [("", version) for version in core["versions"]]
    versions += [(group["name"], version) for group in groups["groups"] for version in _by_preference(group)]
    answers = await asyncio.gather(*(_resources(transport, group, version) for group, version in versions))
    infos: list[KindInfo] = []
    silent: set[str] = set()
    for (group, version), resources in zip(versions, answers, strict=True):
        if resources is None:
            silent.add(group)
        else:
            infos += _infos(group, version, resources)
    return Kinds(infos, silent)


async def _ask(transport: Transport, path: str) -> dict[str, Any]:
    answer = await transport.call(Call("GET", path, accept=AGGREGATED, what="discovery"))
    try:
        text = msgspec.json.decode(answer.body)
    except msgspec.DecodeError as error:
        raise ClusterUnavailable(f"{path} is answered by something that is no API server") from error
    return dict(text)


def _by_preference(group: dict[str, Any]) -> list[str]:
    """List a group's versions: the preferred one, then the others in the server's order."""
    preferred = (group.get("preferredVersion") or {}).get("version")
    return sorted((one["version"] for one in group["versions"]), key=lambda version: version != preferred)


async def _resources(transport: Transport, group: str, version: str) -> list[dict[str, Any]] | None:
    """Return what one version of a group has; None if nobody answers for it."""
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    try:
        answer = await transport.call(Call("GET", path, what=f"discovery of {group or 'the core'}"))
        return list(msgspec.json.decode(answer.body)["resources"])
    except (ClusterUnavailable, Refused, msgspec.DecodeError, KeyError):
        if not group:
            raise
        return None
    except ClusterError:  # the version was taken away since the list
        return []


def _infos(group: str, version: str, resources: Sequence[dict[str, Any]]) -> list[KindInfo]:
    parts: dict[str, set[str]] = {}
    for one in resources:
        plural, slash, part = one["name"].partition("/")
        if slash:
            parts.setdefault(plural, set()).add(part)
    return [
        KindInfo(
            kind=one["kind"],
            group=group,
            version=version,
            plural=one["name"],
            namespaced=bool(one["namespaced"]),
            verbs=frozenset(one.get("verbs") or ()),
            subresources=frozenset(parts.get(one["name"], ())),
        )
        for one in resources
        if "/" not in one["name"]
    ]


def _aggregated(items: Sequence[dict[str, Any]]) -> Kinds:
    infos: list[KindInfo] = []
    silent: set[str] = set()
    for item in items:
        group = (item.get("metadata") or {}).get("name") or ""
        for version in item.get("versions") or []:
            if version.get("freshness") == "Stale" and not version.get("resources"):
                silent.add(group)
            infos += [
                _aggregated_info(group, version["version"], one) for one in version.get("resources") or []
            ]
    return Kinds(infos, silent)


def _aggregated_info(group: str, version: str, resource: dict[str, Any]) -> KindInfo:
    return KindInfo(
        kind=(resource.get("responseKind") or {}).get("kind") or "",
        group=group,
        version=version,
        plural=resource["resource"],
        namespaced=resource.get("scope") == "Namespaced",
        verbs=frozenset(resource.get("verbs") or ()),
        subresources=frozenset(one["subresource"] for one in resource.get("subresources") or ()),
    )
