"""The use cases of registration tokens; redeeming one is a unit (`redemption.py`)."""

import secrets

import msgspec

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.journal.event import Event, Retention
from stellwerk.journal.service import Journal
from stellwerk.journal.store import append
from stellwerk.settings import TrustSettings
from stellwerk.trust.enrolment import store
from stellwerk.trust.enrolment.tokens import (
    SECRET_BYTES,
    NewToken,
    RegistrationToken,
    TokenScope,
    UnknownToken,
    check_new_token,
    hash_token,
    write_token,
)
from stellwerk.trust.principal import Principal

TOKEN_ID_BYTES = 8


class RegistrationTokens:
    """Makes, lists and revokes registration tokens."""

    def __init__(self, database: Database, journal: Journal, settings: TrustSettings, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._settings = settings
        self._clock = clock

    async def create(self, scope: TokenScope, ttl_s: float | None, by: Principal) -> NewToken:
        """Make a token; None lives `registration_token_s`. Raises InvalidToken, DatabaseUnavailable."""
        ttl_s = self._settings.registration_token_s if ttl_s is None else ttl_s
        check_new_token(scope, ttl_s)
        now_us = self._clock.now_us()
        token = write_token(secrets.token_bytes(SECRET_BYTES))
        ends = now_us + int(ttl_s * MICROSECONDS)
        record = RegistrationToken(secrets.token_hex(TOKEN_ID_BYTES), scope, now_us, by.id, ends)

        def unit() -> Unit[None]:
            yield from store.insert_token(hash_token(token), record)
            yield from append(_audit("registration_token.created", record, by), now_us)

        await self._database.write(unit)
        self._journal.committed()
        return NewToken(record, token)

    async def list(self) -> list[RegistrationToken]:
        """List every token that is still recorded, newest first."""
        return await self._database.read(store.list_tokens)

    async def revoke(self, token_id: str, by: Principal) -> RegistrationToken:
        """Revoke a token; again, or of a used one, changes nothing. Raises UnknownToken."""
        now_us = self._clock.now_us()

        def unit() -> Unit[RegistrationToken | None]:
            revoked = yield from store.revoke_token(token_id, now_us)
            if revoked is None:
                return (yield from store.read_token(token_id))
            yield from append(_audit("registration_token.revoked", revoked, by), now_us)
            return revoked

        record = await self._database.write(unit)
        if record is None:
            raise UnknownToken(token_id)
        self._journal.committed()
        return record


def _audit(kind: str, record: RegistrationToken, by: Principal) -> Event:
    data = {
        "tokenId": record.token_id,
        "name": record.scope.name,
        "capabilities": record.scope.capabilities,
        "labels": dict(record.scope.labels),
        "replaces": record.scope.replaces,
        "expiresAt": record.expires_at,
    }
    return Event(kind, Retention.AUDIT, principal=by.id, data=msgspec.json.encode(data).decode())
