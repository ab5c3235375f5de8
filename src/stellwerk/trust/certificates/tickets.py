"""Tokens bound to a certificate (RFC 8705): worth nothing to whoever does not hold the certificate's key.

They stand beside the certificate where a proxy ends TLS and forwards it. The server alone makes and reads
them, so a symmetric key serves (HS256, the only algorithm that is accepted). joserfc takes the time as an
argument and refuses a token whose algorithm was not named beforehand; it is loaded with the first token.
"""

import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from stellwerk.clock import MICROSECONDS
from stellwerk.trust.certificates.judging import Code, Identity, Refused

if TYPE_CHECKING:
    from joserfc.jwk import OctKey

ALGORITHM = "HS256"
AUDIENCE = "agent-api"
TOKEN_BYTES = 4_096
SKEW_S = 5
"""Clocks of replicas differ by less."""
FOR_EVER_S = 10**10


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a token says; its signature and its time are good."""

    agent_id: str
    serial: str
    thumbprint: str


class Tickets:
    """Makes and reads tokens under one key."""

    def __init__(self, key: bytes, issuer: str, lifetime_s: float) -> None:
        self._secret = key
        self._issuer = issuer
        self.lifetime_s = int(lifetime_s)

    @cached_property
    def _key(self) -> "OctKey":
        from joserfc.jwk import OctKey

        return OctKey.import_key(self._secret)

    def write(self, identity: Identity, now_us: int) -> str:
        """Make a token for the holder of a certificate."""
        from joserfc import jwt

        now_s = now_us // MICROSECONDS
        claims = {
            "iss": self._issuer,
            "sub": identity.agent_id,
            "aud": AUDIENCE,
            "iat": now_s,
            "exp": now_s + self.lifetime_s,
            "jti": secrets.token_hex(16),
            "serial": identity.serial,
            "cnf": {"x5t#S256": identity.thumbprint},
        }
        return jwt.encode({"alg": ALGORITHM}, claims, self._key, algorithms=[ALGORITHM])

    def read(self, token: str, now_us: int, *, ended: bool = False) -> Ticket | Refused:
        """Check a token and return what it says. `ended` takes one whose time is over."""
        from joserfc import jwt
        from joserfc.errors import ExpiredTokenError, JoseError

        if len(token) > TOKEN_BYTES:
            return Refused(Code.TOKEN_INVALID)
        required = jwt.JWTClaimsRegistry(
            now=now_us // MICROSECONDS,
            leeway=FOR_EVER_S if ended else SKEW_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            sub={"essential": True},
        )
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            required.validate(claims)
            return Ticket(claims["sub"], claims["serial"], claims["cnf"]["x5t#S256"])
        except ExpiredTokenError:
            return Refused(Code.TOKEN_EXPIRED)
        except (JoseError, ValueError, KeyError, TypeError):
            return Refused(Code.TOKEN_INVALID)
