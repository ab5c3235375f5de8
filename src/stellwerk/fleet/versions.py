"""Versions of a group and their weights, as units of work.

A weight belongs to the version, not to a process: it outlives every instance. Locks are taken as `store`
says, the group's row first, so changes of weights come one after the other.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from sys import intern

import msgspec

from stellwerk.database.unit import Many, PerEngine, Row, Sql, Unit
from stellwerk.fleet.errors import InvalidWeight, UnknownVersion
from stellwerk.fleet.model import Registration, VersionView, WeightsSet
from stellwerk.journal.event import Event, Retention

HIGHEST_WEIGHT = 10_000

_INSERT = """
INSERT INTO fleet_versions (group_id, version, weight, registered_at)
VALUES ($1, $2, $3, $4) ON CONFLICT (group_id, version) DO NOTHING"""
_VERSIONS = "SELECT version, weight, registered_at FROM fleet_versions WHERE group_id = $1"
_SET = "UPDATE fleet_versions SET weight = $3 WHERE group_id = $1 AND version = $2"
_REMOVE = "DELETE FROM fleet_versions WHERE group_id = $1 AND version = $2"
_LOCK_INSTANCES = PerEngine(
    "SELECT instance_id FROM fleet_instances WHERE group_id = $1 AND version = $2 ORDER BY instance_id",
    "SELECT instance_id FROM fleet_instances WHERE group_id = $1 AND version = $2 ORDER BY instance_id"
    " FOR UPDATE",
)
_REMOVE_INSTANCES = "DELETE FROM fleet_instances WHERE group_id = $1 AND version = $2"

Versions = tuple[VersionView, ...]


def tag_of(versions: Iterable[VersionView]) -> str:
    """Name a state of the weights: equal for equal weights, good for If-Match."""
    said = sorted((one.version, one.weight) for one in versions)
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:16]


def weights_of(versions: Iterable[VersionView]) -> dict[str, int | None]:
    """Return the weights by version."""
    return {one.version: one.weight for one in versions}


def read_versions(group: str) -> Unit[Versions]:
    """Return the versions of a group, oldest first."""
    return in_order((yield Sql(_VERSIONS, (group,))))


def in_order(rows: Iterable[Row]) -> Versions:
    """Make versions of rows (version, weight, registered_at), oldest first."""
    found = [VersionView(intern(row[0]), row[1], row[2]) for row in rows]
    return tuple(sorted(found, key=lambda one: (one.registered_at, one.version)))


def note_version(registration: Registration, now_us: int) -> Unit[Versions]:
    """Have the version of a registration; one that is known keeps its weight. Return all of the group."""
    versions = yield from read_versions(registration.group)
    if any(one.version == registration.version for one in versions):
        return versions
    weight = registration.later_weight if versions else registration.first_weight
    yield Sql(_INSERT, (registration.group, registration.version, weight, now_us))
    return (*versions, VersionView(intern(registration.version), weight, now_us))


def set_weights(
    group: str, versions: Versions, weights: Mapping[str, int], principal: str, said: Mapping[str, str]
) -> Unit[tuple[Versions, Event]]:
    """Set weights of versions all at once. Raises InvalidWeight, UnknownVersion."""
    known = weights_of(versions)
    for version, weight in weights.items():
        if version not in known:
            raise UnknownVersion(group, version)
        if not 0 <= weight <= HIGHEST_WEIGHT:
            raise InvalidWeight(f"A weight is between 0 and {HIGHEST_WEIGHT}")
    yield Many(_SET, [(group, version, weights[version]) for version in sorted(weights)])
    after = tuple(
        VersionView(one.version, weights.get(one.version, one.weight), one.registered_at) for one in versions
    )
    old = {version: known[version] for version in weights}
    return after, weights_event(group, principal, old, dict(weights), said)


def remove_version(group: str, versions: Versions, version: str) -> Unit[tuple[Versions, Sequence[str]]]:
    """Delete a version with its instances; return the other versions and the ids of the instances.

    Raises UnknownVersion.
    """
    if not any(one.version == version for one in versions):
        raise UnknownVersion(group, version)
    rows = yield Sql(_LOCK_INSTANCES, (group, version))
    yield Sql(_REMOVE_INSTANCES, (group, version))
    yield Sql(_REMOVE, (group, version))
    return tuple(one for one in versions if one.version != version), [row[0] for row in rows]


def weights_event(
    group: str,
    principal: str,
    old: Mapping[str, int | None],
    new: Mapping[str, int | None],
    said: Mapping[str, str],
) -> Event:
    """Tell who changed which weights. An audit event: it decides where everybody's calls go."""
    data = msgspec.json.encode({"old": old, "new": new, **said}).decode()
    return Event("agent.weights", Retention.AUDIT, group=group, principal=principal, data=data)


def weights_set(before: Versions, after: Versions) -> WeightsSet:
    """Make the answer to a change."""
    return WeightsSet(weights_of(before), weights_of(after), tag_of(after))
