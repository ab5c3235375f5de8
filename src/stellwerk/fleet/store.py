"""The fleet's SQL of joining, leaving and reading, as units of work.

Locks are taken in one order, so that PostgreSQL never sees a circle: a group's row first, then its instances'
rows in the order of their ids. `reports` keeps to it too.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from stellwerk.database.unit import PerEngine, Row, Sql, Unit
from stellwerk.fleet import versions
from stellwerk.fleet.errors import OwnedByAnother, UnknownAgent, WeightsChanged
from stellwerk.fleet.events import Author
from stellwerk.fleet.joining import amend, join
from stellwerk.fleet.model import (
    BASE_URL,
    NODES,
    Condition,
    InstanceView,
    Presence,
    Registration,
    WeightsSet,
)
from stellwerk.fleet.projection import GroupRecord
from stellwerk.fleet.rows import GROUP_COLUMNS, INSTANCE_COLUMNS, from_instance, to_group, to_instance
from stellwerk.fleet.versions import Versions, note_version, read_versions, tag_of, weights_set
from stellwerk.journal.store import append_many

Instances = tuple[InstanceView, ...]
Loaded = tuple[GroupRecord, Instances]

READ_AT_ONCE = 64
"""Groups in one read by id: one statement text serves every smaller number, padded."""


PAGE = 1_000
"""Groups in one read of the whole registry: rows take several times the room of what is made of them."""


class Caller(msgspec.Struct, frozen=True):
    """Who asks: the principal, and whether it may act on what others own."""

    principal: str
    administers: bool
    through: str | None = None
    """The interface that speaks for it; None for any."""
    said: Mapping[str, str] = {}
    """What it calls its change, for the audit event."""


class Joined(msgspec.Struct, frozen=True):
    """A group after a registration: every instance of it, and whether the group is new."""

    record: GroupRecord
    instances: Instances
    created: bool


_GROUP = PerEngine(
    f"SELECT {GROUP_COLUMNS} FROM fleet_groups WHERE group_id = $1",
    f"SELECT {GROUP_COLUMNS} FROM fleet_groups WHERE group_id = $1 FOR UPDATE",
)
_INSERT_GROUP = """
INSERT INTO fleet_groups (group_id, joined_through, owner, kind, registered_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (group_id) DO NOTHING RETURNING group_id"""
_UPDATE_GROUP = "UPDATE fleet_groups SET kind = $2, updated_at = $3 WHERE group_id = $1"
_INSTANCES = f"SELECT {INSTANCE_COLUMNS} FROM fleet_instances WHERE group_id = $1 ORDER BY instance_id"
_UPSERT_INSTANCE = f"""
INSERT INTO fleet_instances (group_id, {INSTANCE_COLUMNS}, dialled)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (group_id, instance_id) DO UPDATE SET
  version = excluded.version, capabilities = excluded.capabilities, services = excluded.services,
  tags = excluded.tags, labels = excluded.labels, endpoints = excluded.endpoints,
  metadata = excluded.metadata,
  condition = excluded.condition, presence = excluded.presence, updated_at = excluded.updated_at,
  seen_at = excluded.seen_at, health_score = excluded.health_score, weight_hint = excluded.weight_hint"""


def register(
    caller: Caller, registration: Registration, now_us: int, *, amended: Condition | None = None
) -> Unit[Joined]:
    """Write a checked registration; the group's first makes its caller the owner.

    `amended` is the condition of a known instance that others change: no sign of life. Raises OwnedByAnother.
    """
    record, created = yield from _open_group(caller, registration, now_us)
    before = yield from _instances(record.group)
    old = next((one for one in before if one.instance == registration.instance), None)
    if old is None or amended is None:
        new = join(old, registration, now_us)
    else:
        new = amend(old, registration, amended, now_us)
    known = yield from note_version(registration, now_us)
    dialled = int(record.joined_through == NODES)
    yield Sql(_UPSERT_INSTANCE, (*from_instance(record.group, new), dialled))
    if not created:
        yield Sql(_UPDATE_GROUP, (record.group, registration.kind, now_us))
    author = Author(record.group, new.instance, caller.principal)
    if old is None:
        events = [author.registered(registration.kind, record.joined_through, new)]
    else:
        events = author.registered_again((record.kind, registration.kind), old, new)
    others = tuple(one for one in before if one.instance != registration.instance)
    replaced = [one.instance for one in others if (dialled and _same_address(one, new)) or _has_passed(one)]
    others = tuple(one for one in others if one.instance not in replaced)
    for gone in replaced:
        yield Sql(_REMOVE_INSTANCE, (record.group, gone))
        events.append(Author(record.group, gone, caller.principal).removed(len(others) + 1))
    yield from append_many(events, now_us)
    record = replace(record, kind=registration.kind, versions=known)
    return Joined(record, (*others, new), created)


def _has_passed(one: InstanceView) -> bool:
    """Tell whether a process is gone that made up its name for its own lifetime, and so never comes back."""
    return one.presence is Presence.OFFLINE and one.metadata.get("ephemeral") is True


def _same_address(one: InstanceView, other: InstanceView) -> bool:
    address = other.endpoints.get(BASE_URL)
    return address is not None and one.endpoints.get(BASE_URL) == address


def _open_group(caller: Caller, registration: Registration, now_us: int) -> Unit[tuple[GroupRecord, bool]]:
    fresh = GroupRecord(
        group=registration.group,
        kind=registration.kind,
        joined_through=registration.joined_through,
        owner=caller.principal,
        registered_at=now_us,
    )
    # twice round only if another replica inserts or removes the group between the two statements
    while True:
        rows = yield Sql(_GROUP, (fresh.group,))
        if rows:
            record = to_group(rows[0])
            _check_owner(caller, record)
            if record.joined_through != registration.joined_through:
                raise OwnedByAnother(record.group, f"it joined through {record.joined_through}")
            return record, False
        values = (fresh.group, fresh.joined_through, fresh.owner, fresh.kind, now_us)
        if (yield Sql(_INSERT_GROUP, values)):
            return fresh, True


_LOCK_INSTANCES = PerEngine(
    "SELECT instance_id FROM fleet_instances WHERE group_id = $1 ORDER BY instance_id",
    "SELECT instance_id FROM fleet_instances WHERE group_id = $1 ORDER BY instance_id FOR UPDATE",
)
_REMOVE_INSTANCE = "DELETE FROM fleet_instances WHERE group_id = $1 AND instance_id = $2"
_REMOVE_INSTANCES = "DELETE FROM fleet_instances WHERE group_id = $1"
_REMOVE_VERSIONS = "DELETE FROM fleet_versions WHERE group_id = $1"
_REMOVE_GROUP = "DELETE FROM fleet_groups WHERE group_id = $1"


def remove(caller: Caller, group: str, instance: str | None, now_us: int) -> Unit[None]:
    """Delete a group, or one instance of it; the last one takes the group with it.

    Raises UnknownAgent, OwnedByAnother.
    """
    rows = yield Sql(_GROUP, (group,))
    if not rows:
        raise UnknownAgent(group)
    record = to_group(rows[0])
    _check_owner(caller, record)
    check_way(group, record.joined_through, caller.through)
    present = [row[0] for row in (yield Sql(_LOCK_INSTANCES, (group,)))]
    if instance is not None and instance not in present:
        raise UnknownAgent(group, instance)
    if instance is None or present == [instance]:
        gone, left = present, 0
        for text in (_REMOVE_INSTANCES, _REMOVE_VERSIONS, _REMOVE_GROUP):
            yield Sql(text, (group,))
    else:
        gone, left = [instance], len(present) - 1
        yield Sql(_REMOVE_INSTANCE, (group, instance))
    yield from append_many([Author(group, one, caller.principal).removed(left) for one in gone], now_us)


def set_weights(
    caller: Caller, group: str, weights: Mapping[str, int], expected: str | None, now_us: int
) -> Unit[tuple[WeightsSet, GroupRecord]]:
    """Set weights of some versions; `expected` names what they are now, None for whatever they are.

    Raises UnknownAgent, OwnedByAnother, WeightsChanged, InvalidWeight, UnknownVersion.
    """
    record, before = yield from _open_versions(caller, group)
    if expected is not None and expected != tag_of(before):
        raise WeightsChanged(group, tag_of(before))
    after, event = yield from versions.set_weights(group, before, weights, caller.principal, caller.said)
    yield from append_many([event], now_us)
    return weights_set(before, after), replace(record, versions=after)


def remove_version(
    caller: Caller, group: str, version: str, now_us: int
) -> Unit[tuple[GroupRecord, Instances]]:
    """Delete a version with its instances; the last one takes the group with it, which leaves no instances.

    Raises UnknownAgent, OwnedByAnother, UnknownVersion.
    """
    record, before = yield from _open_versions(caller, group)
    after, gone = yield from versions.remove_version(group, before, version)
    left = yield from _instances(group)
    events = [Author(group, one, caller.principal).removed(len(left)) for one in gone]
    weight = versions.weights_of(before)[version]
    events.append(versions.weights_event(group, caller.principal, {version: weight}, {}, caller.said))
    if not left:
        yield Sql(_REMOVE_VERSIONS, (group,))
        yield Sql(_REMOVE_GROUP, (group,))
    yield from append_many(events, now_us)
    return replace(record, versions=after), left


def _open_versions(caller: Caller, group: str) -> Unit[tuple[GroupRecord, Versions]]:
    rows = yield Sql(_GROUP, (group,))
    if not rows:
        raise UnknownAgent(group)
    record = to_group(rows[0])
    _check_owner(caller, record)
    return record, (yield from read_versions(group))


def check_way(group: str, joined_through: str, through: str | None) -> None:
    """Refuse an interface that the group did not join through. Raises OwnedByAnother."""
    if through not in (None, joined_through):
        raise OwnedByAnother(group, f"it joined through {joined_through}")


def _check_owner(caller: Caller, record: GroupRecord) -> None:
    if caller.principal != record.owner and not caller.administers:
        raise OwnedByAnother(record.group)


_GROUP_PAGE = f"SELECT {GROUP_COLUMNS} FROM fleet_groups WHERE group_id > $1 ORDER BY group_id LIMIT {PAGE}"
_INSTANCES_OF_ALL = f"SELECT {INSTANCE_COLUMNS}, group_id FROM fleet_instances"
_INSTANCE_PAGE = f"{_INSTANCES_OF_ALL} WHERE group_id > $1 AND group_id <= $2"
_PLACES = ", ".join(f"${number}" for number in range(1, READ_AT_ONCE + 1))
_SOME_GROUPS = f"SELECT {GROUP_COLUMNS} FROM fleet_groups WHERE group_id IN ({_PLACES})"
_SOME_INSTANCES = f"{_INSTANCES_OF_ALL} WHERE group_id IN ({_PLACES})"
_VERSIONS_OF_ALL = "SELECT version, weight, registered_at, group_id FROM fleet_versions"
_VERSION_PAGE = f"{_VERSIONS_OF_ALL} WHERE group_id > $1 AND group_id <= $2"
_SOME_VERSIONS = f"{_VERSIONS_OF_ALL} WHERE group_id IN ({_PLACES})"


def load_page(after: str) -> Unit[list[Loaded]]:
    """Read the next groups behind an id (empty: from the first), in order of ids; none at the end."""
    groups = yield Sql(_GROUP_PAGE, (after,))
    if not groups:
        return []
    instances = yield Sql(_INSTANCE_PAGE, (after, groups[-1][0]))
    found = yield Sql(_VERSION_PAGE, (after, groups[-1][0]))
    return _together(groups, instances, found)


def load_some(groups: Sequence[str]) -> Unit[list[Loaded]]:
    """Read some groups, one to READ_AT_ONCE; who is missing from the answer does not exist."""
    padded = (*groups, *(groups[-1] for _ in range(READ_AT_ONCE - len(groups))))
    found = yield Sql(_SOME_GROUPS, padded)
    instances = yield Sql(_SOME_INSTANCES, padded)
    return _together(found, instances, (yield Sql(_SOME_VERSIONS, padded)))


def _instances(group: str) -> Unit[Instances]:
    rows = yield Sql(_INSTANCES, (group,))
    return tuple(map(to_instance, rows))


def _together(groups: Iterable[Row], instances: Iterable[Row], versions_of: Iterable[Row]) -> list[Loaded]:
    by_group: dict[str, list[InstanceView]] = {}
    for row in instances:
        by_group.setdefault(row[-1], []).append(to_instance(row))
    rows: dict[str, list[Row]] = {}
    for row in versions_of:
        rows.setdefault(row[-1], []).append(row)
    return [
        (replace(to_group(row), versions=versions.in_order(rows.get(row[0], ()))), tuple(by_group[row[0]]))
        for row in groups
        if row[0] in by_group
    ]
