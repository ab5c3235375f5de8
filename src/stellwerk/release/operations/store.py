"""The SQL of operations, releases and inventories."""

from collections.abc import Iterable, Mapping

import msgspec

from stellwerk.database.unit import Many, Row, Sql, Unit
from stellwerk.release.inventory import Inventory, from_texts, to_texts
from stellwerk.release.operations.record import Operation, OperationKind, OperationState, Release
from stellwerk.release.ownership import Identity

KEPT = 20
"""Releases of an application instance that stay unless the settings say otherwise."""
KEPT_OPERATIONS = 200
"""Finished operations of an application instance."""

_OPERATION = msgspec.json.Decoder(Operation)
_TEXTS = msgspec.json.Decoder(dict[str, str])


def insert_operation(operation: Operation, parameters: bytes | None) -> Unit[None]:
    """Record an operation before it acts."""
    yield Sql(
        "INSERT INTO release_operations (operation_id, application, instance, state, requested_at,"
        " finished_at, contents, record, parameters)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        (
            operation.id,
            operation.application,
            operation.instance,
            operation.state.value,
            operation.requested_at,
            operation.finished_at,
            _json(operation.contents),
            _json(operation),
            parameters,
        ),
    )


def update_operation(operation: Operation) -> Unit[None]:
    """Write how far an operation is; its holder guards this by the lock."""
    yield Sql(
        "UPDATE release_operations SET state = $2, finished_at = $3, record = $4 WHERE operation_id = $1",
        (operation.id, operation.state.value, operation.finished_at, _json(operation)),
    )


def read_operation(operation_id: str) -> Unit[Operation | None]:
    """Return an operation; None if nobody knows it."""
    rows = yield Sql("SELECT record FROM release_operations WHERE operation_id = $1", (operation_id,))
    return _OPERATION.decode(rows[0][0]) if rows else None


def open_operations(identity: Identity | None = None) -> Unit[list[Operation]]:
    """List those that have not ended, oldest first; of one application instance, or of all."""
    rows = yield Sql(
        "SELECT record FROM release_operations WHERE finished_at IS NULL ORDER BY requested_at, operation_id"
    )
    found = [_OPERATION.decode(row[0]) for row in rows]
    return [one for one in found if identity is None or one.identity == identity]


def list_operations(identity: Identity, limit: int) -> Unit[list[Operation]]:
    """List the operations of an application instance, newest first."""
    rows = yield Sql(
        "SELECT record FROM release_operations WHERE application = $1 AND instance = $2"
        " ORDER BY requested_at DESC, operation_id DESC LIMIT $3",
        (*identity, limit),
    )
    return [_OPERATION.decode(row[0]) for row in rows]


def request_cancel(operation_id: str, by: str) -> Unit[bool]:
    """Ask the holder of an operation to end it; False if it has ended, or is unknown."""
    rows = yield Sql(
        "UPDATE release_operations SET cancelled_by = $2 WHERE operation_id = $1 AND finished_at IS NULL"
        " RETURNING 1",
        (operation_id, by),
    )
    return bool(rows)


def is_cancelled(operation_id: str) -> Unit[bool]:
    """Tell whether somebody asked for the end of an operation."""
    rows = yield Sql(
        "SELECT 1 FROM release_operations WHERE operation_id = $1 AND cancelled_by IS NOT NULL",
        (operation_id,),
    )
    return bool(rows)


def read_operation_parameters(operation_id: str) -> Unit[bytes | None]:
    """Return the sealed parameters that an operation was rendered with."""
    rows = yield Sql("SELECT parameters FROM release_operations WHERE operation_id = $1", (operation_id,))
    return rows[0][0] if rows else None


def put_contents(identity: Identity, sealed: Mapping[tuple[str, str], bytes]) -> Unit[None]:
    """Keep what services were rendered to, by service and hash."""
    rows = [(*identity, service, content, text) for (service, content), text in sealed.items()]
    if rows:
        yield Many(
            "INSERT INTO release_contents (application, instance, service, hash, sealed)"
            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            rows,
        )


def read_contents(identity: Identity, contents: Mapping[str, str]) -> Unit[dict[tuple[str, str], bytes]]:
    """Return what is kept of some services."""
    found = {}
    for service, content in contents.items():
        rows = yield Sql(
            "SELECT sealed FROM release_contents"
            " WHERE application = $1 AND instance = $2 AND service = $3 AND hash = $4",
            (*identity, service, content),
        )
        if rows:
            found[service, content] = bytes(rows[0][0])
    return found


def put_release(
    identity: Identity, release: Release, parameters: bytes | None, *, kept: int = KEPT
) -> Unit[None]:
    """Record a revision, and let go of what is too old."""
    yield Sql(
        "INSERT INTO release_revisions (application, instance, revision, operation_id, kind, result,"
        " recorded_at, recorded_by, note, contents, parameters)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        (
            *identity,
            release.revision,
            release.operation,
            release.kind.value,
            release.result.value,
            release.at,
            release.by,
            release.note,
            _json(release.contents),
            parameters,
        ),
    )
    yield from _let_go(identity, release.revision, kept)


def list_releases(identity: Identity) -> Unit[list[Release]]:
    """List the revisions that are kept, newest first."""
    rows = yield Sql(
        "SELECT revision, operation_id, kind, result, recorded_at, recorded_by, note, contents"
        " FROM release_revisions WHERE application = $1 AND instance = $2 ORDER BY revision DESC",
        identity,
    )
    return [_release(row) for row in rows]


def read_release_parameters(identity: Identity, revision: int) -> Unit[bytes | None]:
    """Return the sealed parameters of a revision; None if it has none, or is not kept."""
    rows = yield Sql(
        "SELECT parameters FROM release_revisions WHERE application = $1 AND instance = $2 AND revision = $3",
        (*identity, revision),
    )
    return rows[0][0] if rows else None


def read_inventory(identity: Identity) -> Unit[tuple[Inventory, str] | None]:
    """Return our copy of an inventory and the namespace of the other one. Raises InventoryUnreadable."""
    rows = yield Sql(
        "SELECT entries, serial, namespace FROM release_inventories WHERE application = $1 AND instance = $2",
        identity,
    )
    if not rows:
        return None
    return from_texts(_TEXTS.decode(rows[0][0]), rows[0][1]), rows[0][2]


def put_inventory(identity: Identity, inventory: Inventory, namespace: str) -> Unit[None]:
    """Write our copy of an inventory."""
    yield Sql(
        "INSERT INTO release_inventories (application, instance, namespace, serial, entries)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (application, instance) DO UPDATE"
        " SET namespace = excluded.namespace, serial = excluded.serial, entries = excluded.entries",
        (*identity, namespace, inventory.serial, _json(to_texts(inventory))),
    )


def forget_operations(identity: Identity) -> Unit[None]:
    """Let go of operations that are too old."""
    yield Sql(
        "DELETE FROM release_operations WHERE application = $1 AND instance = $2 AND finished_at IS NOT NULL"
        " AND operation_id NOT IN (SELECT operation_id FROM release_operations WHERE application = $1"
        " AND instance = $2 ORDER BY requested_at DESC LIMIT $3)",
        (*identity, KEPT_OPERATIONS),
    )


def _let_go(identity: Identity, newest: int, kept: int) -> Unit[None]:
    yield Sql(
        "DELETE FROM release_revisions WHERE application = $1 AND instance = $2 AND revision <= $3",
        (*identity, newest - kept),
    )
    yield from forget_operations(identity)
    used = yield Sql(
        "SELECT contents FROM release_revisions WHERE application = $1 AND instance = $2 UNION ALL"
        " SELECT contents FROM release_operations WHERE application = $1 AND instance = $2"
        " AND finished_at IS NULL",
        identity,
    )
    held = {pair for row in used for pair in _TEXTS.decode(row[0]).items()}
    there = yield Sql(
        "SELECT service, hash FROM release_contents WHERE application = $1 AND instance = $2", identity
    )
    yield from _forget_contents(identity, {(row[0], row[1]) for row in there} - held)


def _forget_contents(identity: Identity, contents: Iterable[tuple[str, str]]) -> Unit[None]:
    rows = [(*identity, service, content) for service, content in sorted(contents)]
    if rows:
        yield Many(
            "DELETE FROM release_contents"
            " WHERE application = $1 AND instance = $2 AND service = $3 AND hash = $4",
            rows,
        )


def _release(row: Row) -> Release:
    return Release(
        revision=row[0],
        operation=row[1],
        kind=OperationKind(row[2]),
        result=OperationState(row[3]),
        at=row[4],
        by=row[5],
        note=row[6],
        contents=_TEXTS.decode(row[7]),
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
