"""The use cases of registration tokens; redeeming one is a unit (`redemption.py`)."""

from stellwerk.clock import Clock
from stellwerk.database.database import Database
from stellwerk.journal.service import Journal
from stellwerk.settings import TrustSettings
from stellwerk.trust.enrolment.tokens import NewToken, RegistrationToken, TokenScope
from stellwerk.trust.principal import Principal


class RegistrationTokens:
    """Makes, lists and revokes registration tokens."""

    def __init__(
        self, database: Database, journal: Journal, settings: TrustSettings, clock: Clock
    ) -> None: ...

    async def create(self, scope: TokenScope, ttl_s: float | None, by: Principal) -> NewToken:
        """Make a token; None lives `registration_token_s`. Raises InvalidToken, DatabaseUnavailable."""
        raise NotImplementedError

    async def list(self) -> list[RegistrationToken]:
        """List every token that is still recorded, newest first."""
        raise NotImplementedError

    async def revoke(self, token_id: str, by: Principal) -> RegistrationToken:
        """Revoke a token; again, or of a used one, changes nothing. Raises UnknownToken."""
        raise NotImplementedError
