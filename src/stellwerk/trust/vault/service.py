"""The use cases of secrets."""

import re
from collections.abc import Iterable

import msgspec

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.trust.principal import Principal
from stellwerk.trust.vault import store
from stellwerk.trust.vault.cipher import seal, unseal
from stellwerk.trust.vault.store import SecretRecord

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
VALUE_BYTES = 65_536


class InvalidSecret(Exception):
    """Refuse a name or a value; the message never shows the value."""


class UnknownSecret(Exception):
    """No secret has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no secret {name!r}")
        self.name = name


class Secrets:
    """Keeps named secrets. Values go in and come out only through `resolve`, which no interface shows."""

    def __init__(self, database: Database, journal: Journal, key: bytes, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._key = key
        self._clock = clock

    async def put(self, principal: Principal, name: str, value: str) -> int:
        """Set a secret; return its version. Raises InvalidSecret, ChangedMeanwhile, DatabaseUnavailable."""
        check_secret(name, value)
        now_us = self._clock.now_us()

        def unit() -> Unit[int]:
            version = yield from store.put_secret(
                name, lambda number: seal(self._key, name, number, value), principal.id, now_us
            )
            yield from append(_audit("secret.set", name, version, principal), now_us)
            return version

        version = await self._database.write(unit)
        self._journal.committed()
        return version

    async def list(self) -> list[SecretRecord]:
        """List what there is, without values."""
        return await self._database.read(store.list_secrets)

    async def delete(self, principal: Principal, name: str) -> None:
        """Remove a secret; tasks that refer to it fail. Raises UnknownSecret."""
        now_us = self._clock.now_us()

        def unit() -> Unit[None]:
            if not (yield from store.delete_secret(name)):
                raise UnknownSecret(name)
            yield from append(_audit("secret.deleted", name, None, principal), now_us)

        await self._database.write(unit)
        self._journal.committed()

    async def resolve(self, names: Iterable[str]) -> dict[str, str]:
        """Return the values, for delivery with a task. Raises UnknownSecret, SecretUnreadable."""
        wanted = sorted(set(names))

        def unit() -> Unit[dict[str, tuple[int, bytes]]]:
            found = {}
            for name in wanted:
                sealed = yield from store.read_secret(name)
                if sealed is None:
                    raise UnknownSecret(name)
                found[name] = sealed
            return found

        sealed = await self._database.read(unit)
        return {name: unseal(self._key, name, version, text) for name, (version, text) in sealed.items()}


def check_secret(name: str, value: str) -> None:
    """Refuse names and values that do not fit. Raises InvalidSecret."""
    if not NAME.fullmatch(name):
        raise InvalidSecret("A name has 1 to 128 letters, digits, '.', '_' or '-' and begins with no sign")
    if not value:
        raise InvalidSecret("The value is empty; delete the secret instead")
    if len(value.encode()) > VALUE_BYTES:
        raise InvalidSecret(f"The value is longer than {VALUE_BYTES} bytes")


def _audit(kind: str, name: str, version: int | None, principal: Principal) -> Event:
    data = msgspec.json.encode({"name": name, "version": version}).decode()
    return Event(kind, Retention.AUDIT, principal=principal.id, data=data)
