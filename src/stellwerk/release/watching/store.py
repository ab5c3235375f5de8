"""The SQL of watching."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stellwerk.database.unit import Many, Sql, Unit
from stellwerk.release.objects import Key
from stellwerk.release.ownership import Identity
from stellwerk.release.watching.drift import Drift
from stellwerk.release.watching.record import Error, Pause, Repairs, Seen, Told

KEPT_ERRORS = 100
"""Kinds of errors of one service."""

_KEY = msgspec.json.Decoder(Key)
_DRIFT = msgspec.json.Decoder(Drift)
_OF = "application = $1 AND instance = $2"


def watched_instances(application: str) -> Unit[dict[str, tuple[int, str]]]:
    """Return the instances of an application that own something: serial and place of their inventories."""
    rows = yield Sql(
        "SELECT instance, serial, namespace FROM release_inventories WHERE application = $1", (application,)
    )
    return {row[0]: (int(row[1]), row[2]) for row in rows}


def read_troubles(identity: Identity) -> Unit[dict[Key, Told]]:
    """Return what was told last of objects that have a trouble."""
    rows = yield Sql(
        f"SELECT object, service, code, message, since FROM release_troubles WHERE {_OF}", identity
    )
    return {_KEY.decode(row[0]): Told(row[1], row[2], row[3], int(row[4])) for row in rows}


def put_trouble(identity: Identity, key: Key, told: Told) -> Unit[None]:
    """Note a trouble as told, and in the history of its service."""
    place = (*identity, _text(key))
    yield Sql(
        "INSERT INTO release_troubles (application, instance, object, service, code, message, since)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (application, instance, object) DO UPDATE"
        " SET service = excluded.service, code = excluded.code, message = excluded.message,"
        " since = excluded.since",
        (*place, told.service, told.code, told.message, told.since),
    )
    yield Sql(
        "INSERT INTO release_errors (application, instance, object, service, code, message, first_at,"
        " last_at, times) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 1)"
        " ON CONFLICT (application, instance, service, object, code) DO UPDATE"
        " SET message = excluded.message, last_at = excluded.last_at, times = release_errors.times + 1",
        (*place, told.service, told.code, told.message, told.since),
    )
    yield Sql(
        f"DELETE FROM release_errors WHERE {_OF} AND service = $3 AND last_at <= (SELECT last_at FROM"
        f" release_errors WHERE {_OF} AND service = $3 ORDER BY last_at DESC LIMIT 1 OFFSET $4)",
        (*identity, told.service, KEPT_ERRORS),
    )


def drop_trouble(identity: Identity, key: Key) -> Unit[None]:
    """Note that a trouble is over."""
    yield Sql(f"DELETE FROM release_troubles WHERE {_OF} AND object = $3", (*identity, _text(key)))


def read_errors(identity: Identity, service: str, limit: int) -> Unit[list[Error]]:
    """List the kinds of errors that a service had, the last one first."""
    rows = yield Sql(
        f"SELECT object, code, message, first_at, last_at, times FROM release_errors WHERE {_OF}"
        " AND service = $3 ORDER BY last_at DESC LIMIT $4",
        (*identity, service, limit),
    )
    return [Error(_KEY.decode(row[0]), row[1], row[2], int(row[3]), int(row[4]), int(row[5])) for row in rows]


def recorded_warnings(identity: Identity, uids: Sequence[str]) -> Unit[dict[str, int]]:
    """Return when warnings were recorded, of those that were."""
    found = {}
    for uid in uids:
        rows = yield Sql(
            f"SELECT recorded_at FROM release_warnings WHERE {_OF} AND uid = $3", (*identity, uid)
        )
        if rows:
            found[uid] = int(rows[0][0])
    return found


def put_warnings(identity: Identity, uids: Iterable[str], now_us: int, *, forget_before: int) -> Unit[None]:
    """Note warnings as recorded, and forget those that the cluster itself has forgotten by now."""
    rows = [(*identity, uid, now_us) for uid in uids]
    if rows:
        yield Many(
            "INSERT INTO release_warnings (application, instance, uid, recorded_at) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT (application, instance, uid) DO UPDATE SET recorded_at = excluded.recorded_at",
            rows,
        )
    yield Sql("DELETE FROM release_warnings WHERE recorded_at < $1", (forget_before,))


def read_drifts(identity: Identity) -> Unit[dict[Key, Seen]]:
    """Return the objects that are not as they were applied, and since when."""
    rows = yield Sql(f"SELECT drift, seen_at FROM release_drifts WHERE {_OF} ORDER BY object", identity)
    found = [Seen(_DRIFT.decode(row[0]), int(row[1])) for row in rows]
    return {seen.drift.key: seen for seen in found}


def put_drifts(identity: Identity, drifts: Mapping[Key, Drift | None], now_us: int) -> Unit[None]:
    """Note how objects are other than they were applied, and of which that is over."""
    for key, drift in sorted(drifts.items()):
        if drift is None:
            yield Sql(f"DELETE FROM release_drifts WHERE {_OF} AND object = $3", (*identity, _text(key)))
        else:
            yield Sql(
                "INSERT INTO release_drifts (application, instance, object, service, drift, seen_at)"
                " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (application, instance, object) DO UPDATE"
                " SET service = excluded.service, drift = excluded.drift",
                (*identity, _text(key), drift.service, msgspec.json.encode(drift).decode(), now_us),
            )


def read_reconciling(identity: Identity) -> Unit[dict[str, Repairs]]:
    """Return what the reconciler did about each service, and whether it may."""
    rows = yield Sql(
        "SELECT service, paused_at, paused_by, why, repairs, repaired_at, looked_at"
        f" FROM release_reconciling WHERE {_OF}",
        identity,
    )
    found = {}
    for service, paused_at, paused_by, why, repairs, repaired_at, looked_at in rows:
        pause = None if paused_at is None else Pause(paused_by or "", int(paused_at), why or "")
        found[service] = Repairs(pause, int(repairs), repaired_at, looked_at)
    return found


def put_pause(identity: Identity, service: str, pause: Pause | None) -> Unit[None]:
    """Note that the reconciler leaves a service alone, or no longer; then it begins from the start."""
    values = (None, None, None) if pause is None else (pause.at, pause.by, pause.why)
    yield Sql(
        "INSERT INTO release_reconciling (application, instance, service, paused_at, paused_by, why, repairs)"
        " VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (application, instance, service) DO UPDATE"
        " SET paused_at = excluded.paused_at, paused_by = excluded.paused_by, why = excluded.why,"
        " repairs = 0, repaired_at = NULL",
        (*identity, service, *values),
    )


def put_repair(identity: Identity, service: str, repairs: int, now_us: int) -> Unit[None]:
    """Note that a repair of a service begins."""
    yield Sql(
        "INSERT INTO release_reconciling (application, instance, service, repairs, repaired_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (application, instance, service) DO UPDATE"
        " SET repairs = excluded.repairs, repaired_at = excluded.repaired_at",
        (*identity, service, repairs, now_us),
    )


def put_looks(identity: Identity, services: Iterable[str], now_us: int) -> Unit[None]:
    """Note that everything of some services was compared."""
    rows = [(*identity, service, now_us) for service in sorted(services)]
    if rows:
        yield Many(
            "INSERT INTO release_reconciling (application, instance, service, repairs, looked_at)"
            " VALUES ($1, $2, $3, 0, $4) ON CONFLICT (application, instance, service) DO UPDATE"
            " SET looked_at = excluded.looked_at",
            rows,
        )


def _text(key: Key) -> str:
    return msgspec.json.encode(key).decode()
