"""What of a watched application is shown: services with their health, and trees of objects. No I/O."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from stellwerk.clock import MICROSECONDS
from stellwerk.release.conditions import entries, instant, part
from stellwerk.release.health import Health, health, worst
from stellwerk.release.objects import Body, Key
from stellwerk.release.placing import SHARED
from stellwerk.release.table import named
from stellwerk.release.watching.record import Node, Seen, ServiceHealth
from stellwerk.release.watching.watched import UNSEEN, Watched

ABSENT = Health("unknown", "is not deployed")


def services_of(
    watched: Watched | None, names: Iterable[str], drifts: Mapping[Key, Seen], checked_at: int
) -> list[ServiceHealth]:
    """Return how services are: those that are named, and whatever else is deployed."""
    deployed = {entry.service for entry in watched.inventory.entries.values()} if watched else set()
    listed = dict.fromkeys([*names, *sorted(deployed - {SHARED})])
    return [_service(watched, name, drifts, checked_at) for name in listed]


def tree_of(watched: Watched, service: str, drifts: Mapping[Key, Seen]) -> list[Node]:
    """Return the objects of a service, each with what was made for it."""
    keys = sorted(watched.inventory.of({service}))
    return [_owned(watched, key, drifts.get(key)) for key in keys]


def _service(
    watched: Watched | None, name: str, drifts: Mapping[Key, Seen], checked_at: int
) -> ServiceHealth:
    keys = sorted(watched.inventory.of({name})) if watched else []
    if watched is None or not keys:
        return ServiceHealth(name, False, "", 0, ABSENT, None, checked_at)
    # What we may not watch says nothing about a service of which other objects can be watched.
    visible = [key for key in keys if watched.is_visible(key)] or keys
    healths = {key: watched.health_of(key) for key in visible}
    found = worst([*healths.values()])
    if any(one is UNSEEN for one in healths.values()) and found.status in ("healthy", "suspended"):
        found = UNSEEN
    well = found.status in ("healthy", "suspended")
    return ServiceHealth(
        name,
        True,
        next((key.namespace for key in keys if key.namespace), ""),
        _port(watched, keys),
        found,
        None if well else next(key for key, one in healths.items() if one == found),
        _checked_at(watched, checked_at),
        sum(seen.drift.service == name for seen in drifts.values()),
    )


def _checked_at(watched: Watched, now_us: int) -> int:
    """Return as of when what is known is true: now, unless the cluster is away."""
    lost_s = watched.feed.lost_for_s
    return now_us if lost_s is None else now_us - int(lost_s * MICROSECONDS)


def _port(watched: Watched, keys: Iterable[Key]) -> int:
    for key in keys:
        body = watched.holdings.table.get(key) if (key.kind, key.group) == ("Service", "") else None
        for port in entries(part(body, "spec"), "ports") if body else ():
            return int(port.get("port") or 0)
    return 0


def _owned(watched: Watched, key: Key, seen: Seen | None) -> Node:
    body = watched.holdings.table.get(key)
    children = () if body is None else _made_by(watched, body)
    return Node(key, watched.health_of(key), _created(body), True, seen.drift if seen else None, children)


def _made_by(watched: Watched, body: Body) -> tuple[Node, ...]:
    table, found = watched.holdings.table, []
    for child in sorted(table.made_by(body), key=named):
        key, below = named(child), _made_by(watched, child)
        if key in watched.inventory.entries or (
            key.kind == "ReplicaSet" and not below and _wants_none(child)
        ):
            continue  # shown by itself, or left of an old revision
        found.append(
            Node(key, health(child, table.related(child, watched.now())), _created(child), False, None, below)
        )
    return tuple(found)


def _wants_none(replica_set: Body) -> bool:
    return not part(replica_set, "spec").get("replicas")


def _created(body: Body | None) -> datetime | None:
    return None if body is None else instant(part(body, "metadata").get("creationTimestamp"))
