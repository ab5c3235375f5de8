"""Who calls: somebody with a connector token, in either of the published headers."""

from collections.abc import Mapping
from typing import Any

from stellwerk.clock import Clock
from stellwerk.http.limits import Rate
from stellwerk.http.problem import Problem
from stellwerk.interfaces.connector.dialects import dialect_of
from stellwerk.interfaces.connector.errors import unauthorized
from stellwerk.settings import LimitSettings
from stellwerk.trust.connectors.service import Connectors
from stellwerk.trust.connectors.tokens import Connector
from stellwerk.trust.principal import Principal

TOKEN = b"x-connector-token"
BEARER = b"bearer "


class Callers:
    """Recognises connectors for the gate."""

    def __init__(self, connectors: Connectors, limits: LimitSettings, clock: Clock) -> None:
        self._connectors = connectors
        self._clock = clock
        self._failures = Rate(limits.failed_logins_per_min / 60.0, limits.failed_logins_per_min)

    async def recognise(self, scope: Mapping[str, Any], headers: dict[bytes, bytes]) -> Principal | None:
        """Name the connector that calls; None where API keys are taken instead.

        Raises Problem without a token, also on an open listener: who speaks for a pipeline proves it. Wrong
        ones beyond the limit are 429; a right one always passes.
        """
        dialect = dialect_of(scope["path"])
        if dialect is None or not dialect.takes_tokens:
            return None
        text = _token(headers)
        if text is None:
            raise unauthorized()
        found = self._connectors.recognise(text)
        if isinstance(found, Connector):
            return found
        client = scope.get("client")
        wait_s = self._failures.take(client[0] if client else "", self._clock.now_us())
        if wait_s:
            raise Problem.too_many("Too many wrong tokens from this address", wait_s)
        raise unauthorized()


def _token(headers: dict[bytes, bytes]) -> str | None:
    """Find the token: `X-Connector-Token`, which nobody else reads, else `Authorization: Bearer …`."""
    own = headers.get(TOKEN)
    if own is not None:
        return own.decode("utf-8", "surrogateescape").strip()
    authorization = headers.get(b"authorization", b"")
    if authorization[: len(BEARER)].lower() != BEARER:
        return None
    return authorization[len(BEARER) :].decode("utf-8", "surrogateescape").strip()
