"""The fleet's SQL of reports and of silence, as units of work.

Rows of several instances come sorted by group and instance, see `store` on locks. `mark_silent` skips rows
that are locked: who is just being changed is not silent.
"""

from collections.abc import Mapping, Sequence

import msgspec

from stellwerk.database.unit import Many, PerEngine, Sql, Unit, Value
from stellwerk.fleet.errors import UnknownAgent
from stellwerk.fleet.events import Author
from stellwerk.fleet.health import health_score
from stellwerk.fleet.model import Condition, Presence
from stellwerk.fleet.rows import to_json, to_load
from stellwerk.journal.store import append_many

Rows = Sequence[tuple[Value, ...]]


class Report(msgspec.Struct, frozen=True):
    """What an instance says of itself; None keeps what it said before."""

    group: str
    instance: str
    condition: Condition | None = None
    load: Mapping[str, float] | None = None


class Silence(msgspec.Struct, frozen=True):
    """Whom a sweep looks for: those of a presence that were not heard after an instant."""

    was: Presence
    heard_until: int
    dialled: bool
    """Whether among the nodes, or among all others."""


class Silent(msgspec.Struct, frozen=True):
    """An instance that was marked, and when it had last been heard."""

    group: str
    instance: str
    presence: Presence
    seen_at: int


class Heard(msgspec.Struct, frozen=True):
    """When an instance was last heard, and the load that it then had."""

    group: str
    instance: str
    seen_at: int
    load: Mapping[str, float]


_STANDING = PerEngine(
    "SELECT condition, presence, seen_at, load FROM fleet_instances WHERE group_id = $1 AND instance_id = $2",
    "SELECT condition, presence, seen_at, load FROM fleet_instances"
    " WHERE group_id = $1 AND instance_id = $2 FOR UPDATE",
)
_WRITE_REPORT = """
UPDATE fleet_instances
SET condition = $3, presence = $4, seen_at = $5, load = $6, health_score = $7, updated_at = $8
WHERE group_id = $1 AND instance_id = $2"""


def report(principal: str | None, said: Report, now_us: int) -> Unit[tuple[Condition, int]]:
    """Write a report of an instance, which is online thereby; return its condition and when it was heard.

    Raises UnknownAgent. Whether the caller may report is decided before, from the owner, which never changes.
    """
    rows = yield Sql(_STANDING, (said.group, said.instance))
    if not rows:
        raise UnknownAgent(said.group, said.instance)
    was = (Condition(rows[0][0]), Presence(rows[0][1]))
    condition = was[0] if said.condition is None else said.condition
    load = to_load(rows[0][3]) if said.load is None else said.load
    seen_at = max(rows[0][2], now_us)
    score = health_score(condition, Presence.ONLINE, load)
    values = (condition.value, Presence.ONLINE.value, seen_at, to_json(load), score, now_us)
    yield Sql(_WRITE_REPORT, (said.group, said.instance, *values))
    author = Author(said.group, said.instance, principal)
    yield from append_many(author.stands(was, (condition, Presence.ONLINE)), now_us)
    return condition, seen_at


def leave(principal: str, group: str, instance: str, now_us: int) -> Unit[None]:
    """Write that an instance said good-bye: offline at once, and to be ready again before it is used.

    Raises UnknownAgent.
    """
    rows = yield Sql(_STANDING, (group, instance))
    if not rows:
        raise UnknownAgent(group, instance)
    was = (Condition(rows[0][0]), Presence(rows[0][1]))
    is_ = (Condition.INACTIVE, Presence.OFFLINE)
    score = health_score(*is_, to_load(rows[0][3]))
    values = (is_[0].value, is_[1].value, rows[0][2], rows[0][3], score, now_us)
    yield Sql(_WRITE_REPORT, (group, instance, *values))
    yield from append_many(Author(group, instance, principal).stands(was, is_), now_us)


_FIND = """
SELECT group_id, instance_id, seen_at, condition, load FROM fleet_instances
WHERE dialled = {dialled} AND presence = $1 AND seen_at <= $2 ORDER BY seen_at LIMIT $3"""
# A number in the text, not a parameter: it lets the planner use the index over the few that are dialled.
_SILENT = {
    dialled: PerEngine(text, text + " FOR UPDATE SKIP LOCKED")
    for dialled, text in ((one, _FIND.format(dialled=int(one))) for one in (False, True))
}
_WORSEN = """
UPDATE fleet_instances SET presence = $3, health_score = $4, updated_at = $5
WHERE group_id = $1 AND instance_id = $2"""
_ANY_SILENT = {
    dialled: f"SELECT 1 FROM fleet_instances WHERE dialled = {int(dialled)}"
    " AND presence = $1 AND seen_at <= $2 LIMIT 1"
    for dialled in (False, True)
}


def any_silent(silence: Silence) -> Unit[bool]:
    """Tell whether `mark_silent` would find somebody; a read, so that the usual answer costs no commit."""
    rows = yield Sql(_ANY_SILENT[silence.dialled], (silence.was.value, silence.heard_until))
    return bool(rows)


def mark_silent(silence: Silence, worse: Presence, limit: int, now_us: int) -> Unit[list[Silent]]:
    """Mark as `worse` those who are silent; oldest first."""
    rows = yield Sql(_SILENT[silence.dialled], (silence.was.value, silence.heard_until, limit))
    worsened: list[tuple[Value, ...]] = []
    events = []
    for group, instance, _seen_at, condition, load in rows:
        score = health_score(Condition(condition), worse, to_load(load))
        worsened.append((group, instance, worse.value, score, now_us))
        events.append(Author(group, instance, None).present(silence.was, worse))
    if worsened:
        yield Many(_WORSEN, worsened)
        yield from append_many(events, now_us)
    return [Silent(row[0], row[1], worse, row[2]) for row in rows]


# what another replica has heard since is newer, and stays
_HEARD = "UPDATE fleet_instances SET seen_at = $3 WHERE group_id = $1 AND instance_id = $2 AND seen_at < $3"
_LOADED = """
UPDATE fleet_instances SET seen_at = $3, load = $4, health_score = $5
WHERE group_id = $1 AND instance_id = $2 AND seen_at <= $3"""
_OUTCOMES = """
UPDATE fleet_instances SET succeeded = succeeded + $3, failed = failed + $4, response_ms = $5
WHERE group_id = $1 AND instance_id = $2"""


def write_heard(rows: Rows) -> Unit[None]:
    """Write (group, instance, seen_at), sorted; one unit holds one kind of rows, or two could deadlock."""
    yield Many(_HEARD, rows)


def write_loads(rows: Rows) -> Unit[None]:
    """Write (group, instance, seen_at, load, health_score), sorted."""
    yield Many(_LOADED, rows)


def write_outcomes(rows: Rows) -> Unit[None]:
    """Add (group, instance, succeeded, failed), and set the average response_ms, sorted."""
    yield Many(_OUTCOMES, rows)


_HEARD_SINCE = """
SELECT group_id, instance_id, seen_at, load FROM fleet_instances WHERE presence = 'online' AND seen_at > $1"""


def heard_since(seen_at: int) -> Unit[list[Heard]]:
    """Read who was heard after an instant, by whichever replica."""
    rows = yield Sql(_HEARD_SINCE, (seen_at,))
    return [Heard(row[0], row[1], row[2], to_load(row[3])) for row in rows]
