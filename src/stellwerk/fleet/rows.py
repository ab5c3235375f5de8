"""Rows of `fleet_groups` and `fleet_instances`, to values and back."""

from collections.abc import Mapping
from functools import lru_cache
from sys import intern

import msgspec

from stellwerk.database.unit import Row, Value
from stellwerk.fleet.health import health_score
from stellwerk.fleet.joining import distinct
from stellwerk.fleet.model import Condition, InstanceView, Presence
from stellwerk.fleet.projection import GroupRecord

GROUP_COLUMNS = "group_id, kind, joined_through, owner, registered_at"
INSTANCE_COLUMNS = (
    "instance_id, version, capabilities, services, tags, labels, endpoints, metadata, condition, presence, "
    "registered_at, updated_at, seen_at, load, health_score, weight_hint, succeeded, failed, response_ms"
)

_CONDITIONS = {condition.value: condition for condition in Condition}
_PRESENCES = {presence.value: presence for presence in Presence}
_EMPTY_TEXTS: dict[str, str] = {}
_EMPTY_OBJECT: dict[str, object] = {}
_EMPTY_LOAD: dict[str, float] = {}

_texts = msgspec.json.Decoder(tuple[str, ...])
_text_by_name = msgspec.json.Decoder(dict[str, str])
_object = msgspec.json.Decoder(dict[str, object])
_numbers = msgspec.json.Decoder(dict[str, float])


def to_group(row: Row) -> GroupRecord:
    """Read a row of GROUP_COLUMNS."""
    group, kind, joined_through, owner, registered_at = row
    return GroupRecord(
        group=group,
        kind=intern(kind),
        joined_through=intern(joined_through),
        owner=intern(owner),
        registered_at=registered_at,
    )


def to_instance(row: Row) -> InstanceView:
    """Read a row of INSTANCE_COLUMNS. The health score is computed afresh: its column is for people who query
    the table, and a release with another formula must not show the old scores."""
    condition, presence, load = _CONDITIONS[row[8]], _PRESENCES[row[9]], to_load(row[13])
    return InstanceView(
        instance=intern(row[0]),
        version=intern(row[1]),
        capabilities=_list(row[2]),
        services=_list(row[3]),
        tags=_list(row[4]),
        labels=_EMPTY_TEXTS if row[5] == "{}" else _text_by_name.decode(row[5]),
        endpoints=_EMPTY_TEXTS if row[6] == "{}" else _text_by_name.decode(row[6]),
        metadata=_EMPTY_OBJECT if row[7] == "{}" else _object.decode(row[7]),
        condition=condition,
        presence=presence,
        registered_at=row[10],
        updated_at=row[11],
        seen_at=row[12],
        load=load,
        health_score=health_score(condition, presence, load),
        weight_hint=row[15],
        succeeded=row[16],
        failed=row[17],
        response_ms=row[18],
    )


def to_load(text: str) -> Mapping[str, float]:
    """Read a reported load."""
    return _EMPTY_LOAD if text == "{}" else _numbers.decode(text)


def from_instance(group: str, one: InstanceView) -> tuple[Value, ...]:
    """Write an instance as parameters: the group, then INSTANCE_COLUMNS."""
    return (
        group,
        one.instance,
        one.version,
        to_json(one.capabilities),
        to_json(one.services),
        to_json(one.tags),
        to_json(one.labels),
        to_json(one.endpoints),
        to_json(one.metadata),
        one.condition.value,
        one.presence.value,
        one.registered_at,
        one.updated_at,
        one.seen_at,
        to_json(one.load),
        one.health_score,
        one.weight_hint,
        one.succeeded,
        one.failed,
        one.response_ms,
    )


def to_json(value: object) -> str:
    """Write a value as JSON text."""
    return msgspec.json.encode(value).decode()


@lru_cache(maxsize=4_096)
def _list(text: str) -> tuple[str, ...]:
    # agents of a kind register the same lists: one tuple serves them all
    return distinct(_texts.decode(text))
