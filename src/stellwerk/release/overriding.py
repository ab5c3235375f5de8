"""Templates that stand in the place of single objects, or beside an application's own.

They are templates as the application's files are, so what they make still follows parameters, and they take
effect with the next `up` of their service. They are kept sealed: one may hold a Secret.
"""

from collections.abc import Sequence

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Row, Sql, Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.release.operations.contents import place_of
from stellwerk.release.operations.sealing import Sealer
from stellwerk.release.ownership import Identity
from stellwerk.release.rendering.rendering import Override

_OF = "application = $1 AND instance = $2"
_PUT = """
INSERT INTO manifest_overrides (application, instance, key, service, sealed, changed_at, changed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (application, instance, key) DO UPDATE SET
    service = excluded.service, sealed = excluded.sealed, changed_at = excluded.changed_at,
    changed_by = excluded.changed_by"""


class Overrides:
    """The overrides of all instances. Methods may raise DatabaseUnavailable."""

    def __init__(self, database: Database, journal: Journal, sealer: Sealer, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._sealer = sealer
        self._clock = clock

    async def list(self, identity: Identity) -> Sequence[Override]:
        """Return the overrides of an instance, by key. Raises Unreadable."""
        rows = await self._database.read(lambda: _select(identity))
        return [
            Override(key, self._open(identity, key, bytes(sealed)), service) for key, service, sealed in rows
        ]

    async def put(self, identity: Identity, override: Override, *, by: str) -> None:
        """Keep an override in place of one that may be there, durably."""
        sealed = self._sealer.seal_document(_place(identity, override.key), {"text": override.text})
        now_us = self._clock.now_us()
        values = (*identity, override.key, override.service, sealed, now_us, by)

        def unit() -> Unit[None]:
            yield Sql(_PUT, values)
            yield from append(_event(identity, override.key, "Manifest was overridden", by), now_us)

        await self._database.write(unit)
        self._journal.committed()

    async def remove(self, identity: Identity, key: str, *, by: str) -> bool:
        """Take an override away; the application's own object holds again. False if there was none."""
        now_us = self._clock.now_us()

        def unit() -> Unit[bool]:
            rows = yield Sql(
                f"DELETE FROM manifest_overrides WHERE {_OF} AND key = $3 RETURNING 1", (*identity, key)
            )
            if rows:
                yield from append(_event(identity, key, "Override of a manifest was removed", by), now_us)
            return bool(rows)

        removed = await self._database.write(unit)
        self._journal.committed()
        return removed

    def _open(self, identity: Identity, key: str, sealed: bytes) -> str:
        return str(self._sealer.open_document(_place(identity, key), sealed)["text"])


def _select(identity: Identity) -> Unit[list[Row]]:
    return (
        yield Sql(f"SELECT key, service, sealed FROM manifest_overrides WHERE {_OF} ORDER BY key", identity)
    )


def _place(identity: Identity, key: str) -> str:
    return place_of(identity, f"override\0{key}")


def _event(identity: Identity, key: str, message: str, by: str) -> Event:
    data = {
        "type": "info",
        "message": message,
        "resourceKey": key,
        "details": {"operation": "override", "instance": identity.instance},
    }
    return Event(
        "deploy.manifest.overridden",
        Retention.AUDIT,
        group=key,
        principal=by,
        application=identity.application,
        data=msgspec.json.encode(data).decode(),
    )
