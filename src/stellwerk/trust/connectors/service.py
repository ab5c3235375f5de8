"""Connector tokens in use: recognised from memory, changed in the database first.

One token may be named by the settings; it is a record in memory only, and its end is that of the setting. All
others are made, listed and revoked here, each with an audit event.
"""

import hmac
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
from stellwerk.settings import AccessSettings, ConnectorSettings
from stellwerk.trust.connectors import store
from stellwerk.trust.connectors.capabilities import Capability, granted_by
from stellwerk.trust.connectors.tokens import (
    CONFIGURED,
    Connector,
    ConnectorToken,
    FixedConnectorToken,
    NewConnectorToken,
    TokenRefused,
    UnknownConnectorToken,
    check_new_token,
    connector_of,
    read_token,
    write_token,
)
from stellwerk.trust.keys import KEY_ID_BYTES, SECRET_BYTES, Refusal, hash_secret, refusal_of
from stellwerk.trust.principal import Principal
from stellwerk.trust.table import CredentialTable, Kind

TOKENS: Kind[ConnectorToken, Connector] = Kind(
    channel="connector_tokens",
    read=store.all_tokens,
    touch=store.touch_tokens,
    id_of=lambda token: token.token_id,
    with_use=lambda token, at: replace(token, last_used_at=at),
    principal_of=connector_of,
)


class Connectors:
    """Knows every connector token."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        settings: ConnectorSettings,
        access: AccessSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._configured = _configured(settings, clock.now_us())
        self._table = CredentialTable(TOKENS, database, clock, written_every_s=access.key_last_used_s)
        self.load = self._table.load
        self.start = self._table.start
        self.stop = self._table.stop
        self.loops = (self._table.loop,)
        self.refreshed = self._table.refreshed
        self.flush = self._table.flush

    def recognise(self, text: str) -> Connector | TokenRefused:
        """Recognise the holder of a token, from memory."""
        now_us = self._clock.now_us()
        fixed = self._configured
        if fixed is not None and hmac.compare_digest(hash_secret(text), fixed.secret_hash):
            self._configured = replace(fixed, last_used_at=now_us)
            return connector_of(self._configured)
        parts = read_token(text)
        if parts is None:
            return TokenRefused(Refusal.UNKNOWN)
        token_id, secret = parts
        token = self._table.get(token_id)
        if token is None:
            return TokenRefused(Refusal.UNKNOWN, token_id)
        refusal = refusal_of(token, secret, now_us)
        return self._table.use(token_id, now_us) if refusal is None else TokenRefused(refusal, token_id)

    def list(self) -> list[ConnectorToken]:
        """List every token, revoked ones included: the configured one, then the oldest first."""
        made = sorted(self._table, key=lambda token: (token.created_at, token.token_id))
        return made if self._configured is None else [self._configured, *made]

    async def create(
        self,
        name: str,
        capabilities: Iterable[Capability],
        by: Principal,
        *,
        agents: Iterable[str] | None = None,
        expires_at: int | None = None,
    ) -> NewConnectorToken:
        """Make a token; `agents` None is for all of them.

        Raises InvalidConnectorToken, CapabilitiesExceeded, DatabaseUnavailable. The text in the answer is not
        stored and cannot be had again.
        """
        now_us = self._clock.now_us()
        token_id, secret = secrets.token_hex(KEY_ID_BYTES), secrets.token_hex(SECRET_BYTES)
        only = None if agents is None else frozenset(agents)
        token = ConnectorToken(
            token_id, name, hash_secret(secret), frozenset(capabilities), only, now_us, by.id, expires_at
        )
        check_new_token(token, by, now_us)

        def unit() -> Unit[None]:
            yield from store.insert_token(token)
            yield from append(_audit("connector_token.created", token, by), now_us)

        await self._database.write(unit)
        self._journal.committed()
        await self._table.changed(token)
        return NewConnectorToken(token, write_token(token_id, secret))

    async def revoke(self, token_id: str, by: Principal) -> ConnectorToken:
        """Revoke a token, at once here and within a second elsewhere; again is no error.

        Raises UnknownConnectorToken, FixedConnectorToken, DatabaseUnavailable.
        """
        if token_id == CONFIGURED and self._configured is not None:
            raise FixedConnectorToken("This token is one of the settings; remove it there")
        found, now_us = self._table.get(token_id), self._clock.now_us()
        if found is None:
            raise UnknownConnectorToken(token_id)
        token = found

        def unit() -> Unit[bool]:
            if not (yield from store.revoke_token(token_id, now_us)):
                return False
            yield from append(_audit("connector_token.revoked", token, by), now_us)
            return True

        if await self._database.write(unit):
            self._journal.committed()
            await self._table.changed(replace(token, revoked_at=now_us))
        return self._table.get(token_id) or token


def _configured(settings: ConnectorSettings, now_us: int) -> ConnectorToken | None:
    if settings.token is None:
        return None
    granted = granted_by(settings.capabilities)
    return ConnectorToken(
        CONFIGURED, CONFIGURED, hash_secret(settings.token), granted, None, now_us, "settings"
    )


def _audit(kind: str, token: ConnectorToken, by: Principal) -> Event:
    data = {
        "token_id": token.token_id,
        "name": token.name,
        "capabilities": sorted(token.capabilities),
        "agents": None if token.agents is None else sorted(token.agents),
        "expires_at": token.expires_at,
    }
    return Event(kind, Retention.AUDIT, principal=by.id, data=msgspec.json.encode(data).decode())
