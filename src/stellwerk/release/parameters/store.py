"""Where parameters are the truth, and the SQL of their history.

One table holds every version of every instance; the last one holds. A writer inserts the version behind the
one that it has read: of two at once, one finds it taken and is told so, on both engines.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Row, Sql, Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.release.parameters.model import Action, Document, Note, StaleParameters, Version

KEPT = 500
"""Versions of an instance that stay; older ones go when new ones come."""

_COLUMNS = "version, spec, action, changed_at, changed_by, why, restored"
_OF = "application = $1 AND instance = $2"
_LAST = f"SELECT {_COLUMNS} FROM parameter_versions WHERE {_OF} ORDER BY version DESC LIMIT 1"
_PAST = f"SELECT {_COLUMNS} FROM parameter_versions WHERE {_OF} ORDER BY version DESC LIMIT $3"
_ONE = f"SELECT {_COLUMNS} FROM parameter_versions WHERE {_OF} AND version = $3"
_NAMES = """
SELECT one.instance FROM parameter_versions AS one
WHERE one.application = $1 AND one.spec IS NOT NULL AND one.version = (
    SELECT MAX(version) FROM parameter_versions AS last
    WHERE last.application = one.application AND last.instance = one.instance)
ORDER BY one.instance"""
_INSERT = f"""
INSERT INTO parameter_versions (application, instance, {_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (application, instance, version) DO NOTHING RETURNING version"""
_FORGET = f"DELETE FROM parameter_versions WHERE {_OF} AND version <= $3"


class ParameterStore(Protocol):
    """Holds the documents of one application's instances."""

    async def read(self, instance: str) -> Document | None:
        """Return what is stored; None if nothing is."""
        ...

    async def names(self) -> list[str]:
        """Return the instances for which something is stored, in order."""
        ...

    async def write(
        self, instance: str, spec: Mapping[str, Any] | None, *, before: Document | None, note: Note
    ) -> Document | None:
        """Store a document, or remove it where `spec` is None; `before` is what the writer has read.

        Records the change in the history and the journal. Raises StaleParameters.
        """
        ...


class History:
    """Every version of the parameters of one application, whichever store holds the present one."""

    def __init__(self, application: str, database: Database, journal: Journal, clock: Clock) -> None:
        self._application = application
        self._database = database
        self._journal = journal
        self._clock = clock

    async def last(self, instance: str) -> Version | None:
        """Return the newest version, a removal as well; None if there never was one."""
        rows = await self._database.read(lambda: _rows(_LAST, (self._application, instance)))
        return _version(rows[0]) if rows else None

    async def past(self, instance: str, limit: int) -> list[Version]:
        """Return versions, newest first."""
        rows = await self._database.read(lambda: _rows(_PAST, (self._application, instance, limit)))
        return [_version(row) for row in rows]

    async def one(self, instance: str, version: int) -> Version | None:
        """Return one version."""
        rows = await self._database.read(lambda: _rows(_ONE, (self._application, instance, version)))
        return _version(rows[0]) if rows else None

    async def names(self) -> list[str]:
        """Return the instances whose newest version is no removal."""
        rows = await self._database.read(lambda: _rows(_NAMES, (self._application,)))
        return [row[0] for row in rows]

    async def add(
        self, instance: str, spec: Mapping[str, Any] | None, *, after: int, note: Note
    ) -> Version | None:
        """Add the version behind `after`; None if somebody else has."""
        at = self._clock.now_us()
        version = Version(after + 1, spec, note.action, at, note.by, note.why, note.restored)
        added = await self._database.write(lambda: self._add(instance, version))
        if added:
            self._journal.committed()
        return version if added else None

    def _add(self, instance: str, version: Version) -> Unit[bool]:
        of = (self._application, instance)
        last = yield from _rows(_LAST, of)
        # The table alone would let a writer in behind a gap, and before the newest.
        if (last[0][0] if last else 0) != version.version - 1:
            return False
        text = None if version.spec is None else msgspec.json.encode(version.spec).decode()
        values = (
            version.version,
            text,
            version.action.value,
            version.at,
            version.by,
            version.why,
            version.restored,
        )
        if not (yield Sql(_INSERT, (*of, *values))):
            return False
        yield Sql(_FORGET, (*of, version.version - KEPT))
        yield from append(_event(self._application, instance, version), version.at)
        return True


class DatabaseStore:
    """The database is the truth: the newest version of the history."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def read(self, instance: str) -> Document | None:
        """Return what is stored; None if nothing is."""
        last = await self._history.last(instance)
        return None if last is None else _document(instance, last)

    async def names(self) -> list[str]:
        """Return the instances for which something is stored, in order."""
        return await self._history.names()

    async def write(
        self, instance: str, spec: Mapping[str, Any] | None, *, before: Document | None, note: Note
    ) -> Document | None:
        """Store a document, or remove it. Raises StaleParameters."""
        last = await self._history.last(instance)
        held = None if last is None else _document(instance, last)
        now = "0" if held is None else held.etag
        if now != ("0" if before is None else before.etag):
            raise StaleParameters(instance, now)
        added = await self._history.add(instance, spec, after=0 if last is None else last.version, note=note)
        if added is None:
            current = await self.read(instance)
            raise StaleParameters(instance, "0" if current is None else current.etag)
        return _document(instance, added)


def _document(instance: str, version: Version) -> Document | None:
    if version.spec is None:
        return None
    return Document(instance, version.spec, version.version, str(version.version), version.at, version.by)


def _rows(text: str, parameters: tuple[Any, ...]) -> Unit[list[Row]]:
    return (yield Sql(text, parameters))


def _version(row: Row) -> Version:
    number, spec, action, at, by, why, restored = row
    decoded = None if spec is None else msgspec.json.decode(spec, type=dict[str, Any])
    return Version(number, decoded, Action(action), at, by, why, restored)


def _event(application: str, instance: str, version: Version) -> Event:
    """Record that parameters changed; not what they are: whoever may read events need not read parameters."""
    data = {
        "type": "info",
        "message": f"Parameters of {instance} were {version.action.value}",
        "instance": instance,
        "version": version.version,
        "why": version.why,
    }
    text = msgspec.json.encode(data).decode()
    return Event(
        "deploy.parameters.changed", Retention.FLEET, principal=version.by, application=application, data=text
    )
