"""Routes about API keys."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.http.instants import iso, iso_or_none
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.texts import NAMED
from stellwerk.trust.keys import NAME_LIMIT, Key
from stellwerk.trust.scopes import Scope
from stellwerk.trust.service import Keys

TEN_YEARS_S = 315_360_000.0


class NewKey(msgspec.Struct, kw_only=True):
    """A key to create; it cannot have scopes that its creator does not have."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT, pattern=NAMED)]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=50)]
    expires_in_s: Annotated[float, Meta(gt=1.0, le=TEN_YEARS_S)] | None = None


class ShownKey(msgspec.Struct, kw_only=True):
    """A key without its secret."""

    key_id: str
    name: str
    scopes: list[str]
    created_at: str
    created_by: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class CreatedKey(ShownKey, kw_only=True):
    """A new key; `key` is what to send, and is shown only now."""

    key: str


class KeyList(msgspec.Struct, kw_only=True):
    keys: list[ShownKey]


class KeyRoutes:
    """See the module."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="POST",
                path="/keys",
                handle=self.create,
                scope=Scope.KEYS_ADMIN,
                summary="Create an API key",
                tag="keys",
                status=201,
                takes=NewKey,
                gives=CreatedKey,
            ),
            Operation(
                method="GET",
                path="/keys",
                handle=self.list,
                scope=Scope.KEYS_ADMIN,
                summary="List the API keys, revoked ones included",
                tag="keys",
                gives=KeyList,
            ),
            Operation(
                method="DELETE",
                path="/keys/{key_id}",
                handle=self.revoke,
                scope=Scope.KEYS_ADMIN,
                summary="Revoke an API key, at once",
                tag="keys",
                gives=ShownKey,
            ),
        ]

    async def create(self, call: Call[NewKey, None]) -> Answer:
        body = call.body
        expires_at = (
            None
            if body.expires_in_s is None
            else self._clock.now_us() + int(body.expires_in_s * MICROSECONDS)
        )
        created = await self._keys.create(body.name, body.scopes, expires_at, call.principal)
        return CreatedKey(**_shown(created.key), key=created.token)

    async def list(self, call: Call[None, None]) -> Answer:
        return KeyList(keys=[ShownKey(**_shown(key)) for key in self._keys.list()])

    async def revoke(self, call: Call[None, None]) -> Answer:
        return ShownKey(**_shown(await self._keys.revoke(call.path["key_id"], call.principal)))


def _shown(key: Key) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": iso(key.created_at),
        "created_by": key.created_by,
        "expires_at": iso_or_none(key.expires_at),
        "last_used_at": iso_or_none(key.last_used_at),
        "revoked_at": iso_or_none(key.revoked_at),
    }
