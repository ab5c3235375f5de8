"""A group as the sum of its instances."""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from stellwerk.fleet.model import AgentView, InstanceView, Presence, VersionView

V = TypeVar("V")


class GroupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a group apart from its instances."""

    group: str
    kind: str
    joined_through: str
    owner: str
    registered_at: int
    versions: tuple[VersionView, ...] = ()


def project_group(record: GroupRecord, instances: Iterable[InstanceView], revision: int) -> AgentView:
    """Build the view of a group from its instances, of which there is at least one."""
    newest_first = tuple(sorted(instances, key=_newest_first))
    newest, best = newest_first[0], best_of(newest_first)
    return AgentView(
        group=record.group,
        kind=record.kind,
        joined_through=record.joined_through,
        owner=record.owner,
        registered_at=record.registered_at,
        instances=newest_first,
        version=newest.version,
        capabilities=_union([one.capabilities for one in newest_first]),
        services=_union([one.services for one in newest_first]),
        tags=_union([one.tags for one in newest_first]),
        labels=_merged([one.labels for one in newest_first]),
        endpoints=_merged([one.endpoints for one in newest_first]),
        metadata=_merged([one.metadata for one in newest_first]),
        condition=best.condition,
        presence=best.presence,
        seen_at=max(one.seen_at for one in newest_first),
        load=best.load,
        health_score=best.health_score,
        revision=revision,
        versions=record.versions,
    )


def restate(view: AgentView, changed: InstanceView, revision: int) -> AgentView:
    """Put an instance's new state in place of its old; what it registered must be the same.

    The short way of every heartbeat: lists and mappings of the group are taken over unread.
    """
    if len(view.instances) == 1:
        instances: tuple[InstanceView, ...] = (changed,)
        best = changed
        seen_at = changed.seen_at
    else:
        instances = tuple(changed if one.instance == changed.instance else one for one in view.instances)
        best = best_of(instances)
        seen_at = max(one.seen_at for one in instances)
    return replace(
        view,
        instances=instances,
        condition=best.condition,
        presence=best.presence,
        seen_at=seen_at,
        load=best.load,
        health_score=best.health_score,
        revision=revision,
    )


def record_of(view: AgentView) -> GroupRecord:
    """Take the group's own record out of a view."""
    return GroupRecord(
        group=view.group,
        kind=view.kind,
        joined_through=view.joined_through,
        owner=view.owner,
        registered_at=view.registered_at,
        versions=view.versions,
    )


def best_of(instances: tuple[InstanceView, ...]) -> InstanceView:
    """Choose the instance that speaks for the group: reachable, healthiest, then newest (they come newest
    first)."""
    return instances[0] if len(instances) == 1 else max(instances, key=_standing_of)


def _standing_of(one: InstanceView) -> tuple[bool, float]:
    return one.presence is not Presence.OFFLINE, one.health_score


def _newest_first(one: InstanceView) -> tuple[int, str]:
    return -one.registered_at, one.instance


def _union(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
    # instances of one group usually say the same; the tuple is shared then
    if lists.count(lists[0]) == len(lists):
        return lists[0]
    return tuple(dict.fromkeys(chain.from_iterable(lists)))


def _merged(mappings: list[Mapping[str, V]]) -> Mapping[str, V]:
    if mappings.count(mappings[0]) == len(mappings):
        return mappings[0]
    merged: dict[str, V] = {}
    for one in reversed(mappings):
        merged.update(one)
    return merged
