"""Joining: what a registration makes of an instance, and what of it may be registered at all."""

import math
from collections.abc import Mapping
from sys import intern

import msgspec
from msgspec.structs import replace

from stellwerk.fleet.errors import InvalidRegistration
from stellwerk.fleet.health import health_score
from stellwerk.fleet.identifiers import check_id, check_version
from stellwerk.fleet.model import (
    DEFAULT_INSTANCE,
    Condition,
    InstanceView,
    Presence,
    Registration,
)

MAX_ENTRIES = 256
"""Entries of one list or mapping: each is an index entry, and nobody needs hundreds."""
MAX_TEXT = 1_024
"""Characters of one entry; URLs are the longest."""
MAX_KIND = 64
MAX_METADATA_BYTES = 65_536
"""Metadata is kept in memory for every agent."""

_DECLARED = ("version", "capabilities", "services", "tags", "labels", "endpoints", "metadata")
_KEPT_OUT_OF_THE_JOURNAL = frozenset({"endpoints", "metadata"})
"""They may hold credentials, and the journal outlives the agent; events only name them."""

Declared = dict[str, object]


def check_registration(registration: Registration) -> Registration:
    """Check ids and limits, and bring the registration to its plain form: no duplicates, the instance named.

    Raises InvalidId, InvalidRegistration.
    """
    check_id(registration.group)
    check_version(registration.version)
    instance = check_id(
        DEFAULT_INSTANCE if registration.instance is None else registration.instance, "instance_id"
    )
    if not registration.kind.isprintable() or not 1 <= len(registration.kind) <= MAX_KIND:
        raise InvalidRegistration(f"agent_type must be 1 to {MAX_KIND} printable characters")
    for field in ("capabilities", "services", "tags"):
        _check_texts(field, getattr(registration, field))
    for field in ("labels", "endpoints"):
        mapping: Mapping[str, str] = getattr(registration, field)
        _check_texts(field, (*mapping.keys(), *mapping.values()), 2 * MAX_ENTRIES)
    if registration.metadata and len(msgspec.json.encode(registration.metadata)) > MAX_METADATA_BYTES:
        raise InvalidRegistration(f"metadata is larger than {MAX_METADATA_BYTES} bytes")
    return replace(
        registration,
        instance=instance,
        capabilities=distinct(registration.capabilities),
        services=distinct(registration.services),
        tags=distinct(registration.tags),
    )


def join(before: InstanceView | None, registration: Registration, now_us: int) -> InstanceView:
    """Make of a checked registration the instance that it describes, over the one that was there before.

    The time of the first registration, the reported load and the history of outcomes stay. The instance is
    online, and active or as it says, unless it is in maintenance: an operator's drain must survive the
    restart of the agent.
    """
    drained = before is not None and before.condition is Condition.MAINTENANCE
    condition = Condition.MAINTENANCE if drained else registration.condition or Condition.ACTIVE
    load: Mapping[str, float] = {} if before is None else before.load
    return InstanceView(
        instance=registration.instance or DEFAULT_INSTANCE,
        version=registration.version,
        capabilities=registration.capabilities,
        services=registration.services,
        tags=registration.tags,
        labels=registration.labels,
        endpoints=registration.endpoints,
        metadata=registration.metadata,
        condition=condition,
        presence=Presence.ONLINE,
        registered_at=now_us if before is None else before.registered_at,
        updated_at=now_us,
        # another replica's clock may be ahead
        seen_at=now_us if before is None else max(now_us, before.seen_at),
        load=load,
        health_score=health_score(condition, Presence.ONLINE, load),
        weight_hint=weight_hint(registration.metadata),
        succeeded=0 if before is None else before.succeeded,
        failed=0 if before is None else before.failed,
        response_ms=0.0 if before is None else before.response_ms,
    )


def amend(
    before: InstanceView, registration: Registration, condition: Condition, now_us: int
) -> InstanceView:
    """Change what an instance registered with and its condition, which is no sign of life of it."""
    return replace(
        join(before, registration, now_us),
        condition=condition,
        presence=before.presence,
        seen_at=before.seen_at,
        health_score=health_score(condition, before.presence, before.load),
    )


def weight_hint(metadata: Mapping[str, object]) -> float:
    """Read the weight that an agent asks for: `metadata.weight` if it is a positive number, else 1."""
    weight = metadata.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        return 1.0
    try:
        hint = float(weight)
    except OverflowError:
        return 1.0
    return hint if hint > 0 and math.isfinite(hint) else 1.0


def declared_changes(before: InstanceView, after: InstanceView) -> tuple[Declared, Declared]:
    """Tell what a new registration changed, as (old, new) by field; endpoints and metadata are named without
    values."""
    old: Declared = {}
    new: Declared = {}
    for field in _DECLARED:
        was, is_ = getattr(before, field), getattr(after, field)
        if was != is_:
            hidden = field in _KEPT_OUT_OF_THE_JOURNAL
            old[field], new[field] = (None, None) if hidden else (was, is_)
    return old, new


def declared(one: InstanceView) -> Declared:
    """Tell what an instance registered with, without endpoints and metadata."""
    return {field: getattr(one, field) for field in _DECLARED if field not in _KEPT_OUT_OF_THE_JOURNAL}


def distinct(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Drop duplicates, keep the order, and share equal texts in memory: thousands of agents offer the same
    few things."""
    return tuple(map(intern, dict.fromkeys(texts)))


def _check_texts(field: str, texts: tuple[str, ...], most: int = MAX_ENTRIES) -> None:
    if len(texts) > most:
        raise InvalidRegistration(f"{field} has more than {MAX_ENTRIES} entries")
    if any(len(text) > MAX_TEXT for text in texts):
        raise InvalidRegistration(f"{field} has an entry of more than {MAX_TEXT} characters")
