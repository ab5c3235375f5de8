"""API keys in use: authenticated from memory, changed in the database first.

`create` and `revoke` commit first, with their audit event, and then change the memory (`table.py`).
"""

import secrets
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.settings import AccessSettings
from stellwerk.trust import store
from stellwerk.trust.keys import (
    KEY_ID_BYTES,
    KEY_PRINCIPAL,
    SECRET_BYTES,
    Created,
    Key,
    KeyRefused,
    Refusal,
    UnknownKey,
    check_new_key,
    hash_secret,
    principal_of,
    read_token,
    refusal_of,
    write_token,
)
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope
from stellwerk.trust.table import CredentialTable, Kind

BOOTSTRAP_NAME = "bootstrap"
KEYS: Kind[Key, Principal] = Kind(
    channel="api_keys",
    read=store.all_keys,
    touch=store.touch_keys,
    id_of=lambda key: key.key_id,
    with_use=lambda key, at: replace(key, last_used_at=at),
    principal_of=principal_of,
)


class Keys:
    """Knows every API key."""

    def __init__(self, database: Database, journal: Journal, settings: AccessSettings, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._table = CredentialTable(KEYS, database, clock, written_every_s=settings.key_last_used_s)
        self.load = self._table.load
        self.start = self._table.start
        self.stop = self._table.stop
        self.loops = (self._table.loop,)
        self.refreshed = self._table.refreshed
        self.flush = self._table.flush

    def authenticate(self, token: str) -> Principal | KeyRefused:
        """Recognise the holder of a token, from memory."""
        parts = read_token(token)
        if parts is None:
            return KeyRefused(Refusal.MALFORMED)
        key_id, secret = parts
        key = self._table.get(key_id)
        if key is None:
            return KeyRefused(Refusal.UNKNOWN, key_id)
        now = self._clock.now_us()
        refusal = refusal_of(key, secret, now)
        if refusal is not None:
            return KeyRefused(refusal, key_id)
        return self._table.use(key_id, now)

    def still_valid(self, principal: Principal) -> bool:
        """Tell whether a principal recognised earlier would still be: its key neither revoked nor expired."""
        if not principal.id.startswith(KEY_PRINCIPAL):
            return True
        key = self._table.get(principal.id.removeprefix(KEY_PRINCIPAL))
        return key is not None and _usable(key, self._clock.now_us())

    def list(self) -> list[Key]:
        """List every key, revoked ones included, oldest first."""
        return sorted(self._table, key=lambda key: (key.created_at, key.key_id))

    async def create(
        self, name: str, scopes: Iterable[Scope], expires_at: int | None, by: Principal
    ) -> Created:
        """Make a key. Raises InvalidKey, ScopesExceeded, DatabaseUnavailable.

        The token in the answer is not stored and cannot be had again.
        """
        now, given = self._clock.now_us(), frozenset(scopes)
        check_new_key(name, given, expires_at, by, now)
        key_id = secrets.token_hex(KEY_ID_BYTES)
        created = _issue(Key(key_id, name, "", given, now, expires_at, None, None, by.id))
        await self._database.write(lambda: _create(created.key, "key.created", now))
        await self._changed(created.key)
        return created

    async def revoke(self, key_id: str, by: Principal) -> Key:
        """Revoke a key, at once here and within a second elsewhere; again is no error. Raises UnknownKey."""
        found, now = self._table.get(key_id), self._clock.now_us()
        if found is None:
            raise UnknownKey(key_id)
        key = found
        if await self._database.write(lambda: _revoke(key, by.id, now)):
            await self._changed(replace(key, revoked_at=now))
        return self._table.get(key_id) or key

    async def bootstrap(self) -> str | None:
        """Make the first key, with every right, unless a usable one exists; return its token, to be shown
        once.

        Replicas that start together agree on its id, so that one of them makes it and the others return None.
        """
        await self.load()
        now = self._clock.now_us()
        if any(_usable(key, now) for key in self._table):
            return None
        key_id = f"{BOOTSTRAP_NAME}{len(self._table)}"
        scopes = frozenset({Scope.ADMIN})
        created = _issue(Key(key_id, BOOTSTRAP_NAME, "", scopes, now, None, None, None, "system"))
        if not await self._database.write(lambda: _create(created.key, "key.bootstrapped", now)):
            await self.load()
            return None
        await self._changed(created.key)
        return created.token

    async def _changed(self, key: Key) -> None:
        self._journal.committed()
        await self._table.changed(key)


def _issue(key: Key) -> Created:
    """Give the key a secret of its own."""
    secret = secrets.token_bytes(SECRET_BYTES)
    return Created(replace(key, secret_hash=hash_secret(secret.hex())), write_token(key.key_id, secret))


def _usable(key: Key, now_us: int) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now_us)


def _create(key: Key, kind: str, now_us: int) -> Unit[bool]:
    if not (yield from store.insert_key(key)):
        return False
    yield from append(_audit(key, kind, key.created_by), now_us)
    return True


def _revoke(key: Key, by: str, now_us: int) -> Unit[bool]:
    if not (yield from store.revoke_key(key.key_id, now_us)):
        return False
    yield from append(_audit(key, "key.revoked", by), now_us)
    return True


def _audit(key: Key, kind: str, by: str) -> Event:
    data = {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "expires_at": key.expires_at,
    }
    return Event(kind, Retention.AUDIT, principal=by, data=msgspec.json.encode(data).decode())
