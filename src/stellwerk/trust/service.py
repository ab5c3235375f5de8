"""API keys in use: authenticated from memory, changed in the database first.

Theory of operation. The table of keys is held in memory, so that authenticating costs microseconds and
works while the database does not. `create` and `revoke` commit first, with their audit event, and then
change the memory; other replicas are woken by `notify` and read the table again, and do so every second as
well, because a hint may be lost. Last uses are collected in memory and written by the same loop, at most
every `key_last_used_s`. One task owns both; `start` and `stop` may be called again.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable
from dataclasses import replace

import msgspec
import structlog

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.errors import DatabaseUnavailable
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

CHANNEL = "api_keys"
REFRESH_S = 1.0
BOOTSTRAP_NAME = "bootstrap"

log = structlog.get_logger()


class Keys:
    """Knows every API key."""

    def __init__(self, database: Database, journal: Journal, settings: AccessSettings, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._principals: dict[str, Principal] = {}
        self._used_at: dict[str, int] = {}
        self._written_at = 0
        self._changes = 0
        self._task: asyncio.Task[None] | None = None
        self._unlisten: Unlisten | None = None
        self._stale = asyncio.Event()
        self._refreshed = asyncio.Event()

    async def load(self) -> None:
        """Read the table. Raises DatabaseUnavailable."""
        changes = self._changes
        keys = await self._database.read(store.all_keys)
        if changes == self._changes:  # Else the snapshot may be older than what was just committed here.
            self._take(keys)

    async def start(self) -> None:
        """Load, then follow other replicas and write last uses until `stop`."""
        if self._task is None:
            await self.load()
            self._unlisten = self._database.listen(CHANNEL, self._stale.set)
            self._task = asyncio.create_task(self._follow(), name="keys")

    async def refreshed(self) -> None:
        """Wait until the loop has looked at the table once more."""
        await self._refreshed.wait()

    async def stop(self) -> None:
        """End the loop and write what it still has."""
        if self._task is None or self._unlisten is None:
            return
        self._unlisten()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        with contextlib.suppress(DatabaseUnavailable):
            await self.flush()

    def authenticate(self, token: str) -> Principal | KeyRefused:
        """Recognise the holder of a token, from memory."""
        parts = read_token(token)
        if parts is None:
            return KeyRefused(Refusal.MALFORMED)
        key_id, secret = parts
        key = self._keys.get(key_id)
        if key is None:
            return KeyRefused(Refusal.UNKNOWN, key_id)
        now = self._clock.now_us()
        refusal = refusal_of(key, secret, now)
        if refusal is not None:
            return KeyRefused(refusal, key_id)
        self._used_at[key_id] = now
        return self._principals[key_id]

    def still_valid(self, principal: Principal) -> bool:
        """Tell whether a principal recognised earlier would still be: its key neither revoked nor expired."""
        if not principal.id.startswith(KEY_PRINCIPAL):
            return True
        key = self._keys.get(principal.id.removeprefix(KEY_PRINCIPAL))
        return key is not None and _usable(key, self._clock.now_us())

    def list(self) -> list[Key]:
        """List every key, revoked ones included, oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.key_id))

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
        if key_id not in self._keys:
            raise UnknownKey(key_id)
        key, now = self._keys[key_id], self._clock.now_us()
        if await self._database.write(lambda: _revoke(key, by.id, now)):
            await self._changed(replace(key, revoked_at=now))
        return self._keys[key_id]

    async def bootstrap(self) -> str | None:
        """Make the first key, with every right, unless a usable one exists; return its token, to be shown
        once.

        Replicas that start together agree on its id, so that one of them makes it and the others return None.
        """
        await self.load()
        now = self._clock.now_us()
        if any(_usable(key, now) for key in self._keys.values()):
            return None
        key_id = f"{BOOTSTRAP_NAME}{len(self._keys)}"
        scopes = frozenset({Scope.ADMIN})
        created = _issue(Key(key_id, BOOTSTRAP_NAME, "", scopes, now, None, None, None, "system"))
        if not await self._database.write(lambda: _create(created.key, "key.bootstrapped", now)):
            await self.load()
            return None
        await self._changed(created.key)
        return created.token

    async def flush(self) -> None:
        """Write the last uses collected so far."""
        used, self._used_at = self._used_at, {}
        self._written_at = self._clock.now_us()
        if not used:
            return
        try:
            await self._database.write(lambda: store.touch_keys(used))
        except DatabaseUnavailable:
            self._used_at = {**used, **self._used_at}
            raise
        for key_id, at in used.items():
            if key_id in self._keys:
                self._keys[key_id] = replace(self._keys[key_id], last_used_at=at)

    async def _changed(self, key: Key) -> None:
        self._changes += 1
        self._take([*(other for other in self._keys.values() if other.key_id != key.key_id), key])
        self._journal.committed()
        await self._database.notify(CHANNEL)

    def _take(self, keys: Iterable[Key]) -> None:
        self._keys = {key.key_id: key for key in keys}
        self._principals = {key.key_id: principal_of(key) for key in self._keys.values()}

    async def _follow(self) -> None:
        shared = self._database.engine == "postgres"
        while True:
            # Not wait_for: before Python 3.12 it loses a cancellation that meets the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._stale.wait()
            try:
                self._stale.clear()
                if shared:
                    await self.load()
                self._refreshed.set()
                self._refreshed.clear()
                if self._clock.now_us() - self._written_at >= self._settings.key_last_used_s * MICROSECONDS:
                    await self.flush()
            except DatabaseUnavailable as error:
                log.warning("keys are not refreshed", detail=error.detail)
            except Exception:
                log.exception("keys are not refreshed")


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
