"""Routes about connector tokens, for administrators with API keys."""

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.interfaces.connector import rendering, wire
from stellwerk.interfaces.connector.dialects import OPERATORS
from stellwerk.trust.connectors.capabilities import granted_by
from stellwerk.trust.connectors.service import Connectors
from stellwerk.trust.scopes import Scope

TOKENS = f"{OPERATORS.prefix}/tokens"


class TokenRoutes:
    """See the module."""

    def __init__(self, connectors: Connectors, clock: Clock) -> None:
        self._connectors = connectors
        self._clock = clock

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="POST",
                path=TOKENS,
                handle=self.create_token,
                scope=Scope.KEYS_ADMIN,
                summary="Create a connector token",
                tag=OPERATORS.tag,
                status=201,
                takes=wire.NewToken,
                gives=wire.CreatedToken,
            ),
            Operation(
                method="GET",
                path=TOKENS,
                handle=self.list_tokens,
                scope=Scope.KEYS_ADMIN,
                summary="List the connector tokens, revoked ones included",
                tag=OPERATORS.tag,
                gives=wire.TokenList,
            ),
            Operation(
                method="DELETE",
                path=TOKENS + "/{token_id}",
                handle=self.revoke_token,
                scope=Scope.KEYS_ADMIN,
                summary="Revoke a connector token, at once",
                tag=OPERATORS.tag,
                gives=wire.ShownToken,
                refuses=(409,),
            ),
        ]

    async def create_token(self, call: Call[wire.NewToken, None]) -> Answer:
        body = call.body
        ends = body.expires_in_s
        made = await self._connectors.create(
            body.name,
            granted_by(body.capabilities),
            call.principal,
            agents=body.agents,
            expires_at=None if ends is None else self._clock.now_us() + int(ends * MICROSECONDS),
        )
        return rendering.created_token(made)

    async def list_tokens(self, call: Call[None, None]) -> Answer:
        shown = [rendering.token(one) for one in self._connectors.list()]
        return wire.TokenList(tokens=shown, total=len(shown))

    async def revoke_token(self, call: Call[None, None]) -> Answer:
        return rendering.token(await self._connectors.revoke(call.path["token_id"], call.principal))
