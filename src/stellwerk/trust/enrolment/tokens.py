"""Registration tokens: what one looks like, what it admits, and why it is refused.

A token is `reg_`, 43 characters of base64url (32 random bytes), and six characters of a checksum, so that a
mistyped or cut one is told without looking for it, and scanners recognise a leaked one. Only its SHA-256 is
stored: with 256 random bits a slow hash would protect it no better.
"""

import base64
import hashlib
import re
import string
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PREFIX = "reg_"
SECRET_BYTES = 32
TOKEN = re.compile(rf"{PREFIX}([A-Za-z0-9_-]{{43}})([A-Za-z0-9]{{6}})")
AGENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
TTL_S = range(300, 86_401)
"""Five minutes to the published day."""
CAPABILITY_LIMIT = 100
LABEL_LIMIT = 100
TEXT_LIMIT = 253

_DIGITS = string.digits + string.ascii_letters


class Reason(StrEnum):
    """Why a token does not admit; all but the last are answered alike (401), the last is forbidden (403)."""

    INVALID = "registration_token.invalid"
    """No token at all, mistyped, or unknown."""
    EXPIRED = "registration_token.expired"
    USED = "registration_token.used"
    REVOKED = "registration_token.revoked"
    SCOPE = "registration_token.scope"
    """Good, but not for this name or these capabilities."""


class TokenRefused(Exception):
    """A registration token that does not admit; `reason` is the code for the caller."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class InvalidToken(Exception):
    """Refuse to create a token: its scope or its time does not fit."""


class UnknownToken(Exception):
    """There is no registration token of this id."""


@dataclass(frozen=True, slots=True)
class TokenScope:
    """What a token admits. None and empty leave it to the agent."""

    name: str | None = None
    """The only name under which the agent may register."""
    capabilities: tuple[str, ...] | None = None
    """The only capabilities that it may have."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that the agent gets, whatever it says itself."""
    replaces: str | None = None
    """Id of the agent whose place the new one takes, name included."""


@dataclass(frozen=True, slots=True)
class RegistrationToken:
    """A token without its secret. Instants are microseconds UTC."""

    token_id: str
    scope: TokenScope
    created_at: int
    created_by: str
    """Id of the principal that made it."""
    expires_at: int
    revoked_at: int | None = None
    used_at: int | None = None
    used_by: str | None = None
    """Id of the agent that it admitted."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new token and, this once, its text."""

    record: RegistrationToken
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Application:
    """What an agent asks for when it registers."""

    name: str
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """What a redeemed token grants."""

    agent_id: str
    """Of the new agent, or of the one that the same token and the same key made before."""
    repeated: bool
    """Whether this is the same registration again, whose answer was lost: the agent exists."""
    labels: Mapping[str, str]
    """The agent's own labels under those that the token forces."""
    replaces: str | None
    token_id: str
    created_by: str
    """The principal that made the token: on its authority the agent joins."""
    capabilities: tuple[str, ...] | None = None
    """The only capabilities that the agent may ever have; None leaves it to operators."""


def write_token(secret: bytes) -> str:
    """Put a token together."""
    body = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    return f"{PREFIX}{body}{_checksum(body)}"


def hash_token(token: str) -> str:
    """Return the hash under which a token is stored. Raises TokenRefused for what cannot be one."""
    parts = TOKEN.fullmatch(token)
    if parts is None or _checksum(parts[1]) != parts[2]:
        raise TokenRefused(Reason.INVALID, "That is no registration token; was it copied whole?")
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def check_scope(scope: TokenScope, application: Application) -> dict[str, str]:
    """Return the labels of an agent that applies with a token of this scope. Raises TokenRefused(SCOPE)."""
    if scope.name is not None and scope.name != application.name:
        raise TokenRefused(Reason.SCOPE, f"The token is for an agent named {scope.name!r}")
    if scope.capabilities is not None:
        beyond = sorted(set(application.capabilities) - set(scope.capabilities))
        if beyond:
            raise TokenRefused(Reason.SCOPE, f"The token does not allow {', '.join(beyond)}")
    return {**application.labels, **scope.labels}


def check_new_token(scope: TokenScope, ttl_s: float) -> None:
    """Raise InvalidToken unless such a token may be made."""
    if not TTL_S.start <= ttl_s < TTL_S.stop:
        raise InvalidToken(f"A token lives {TTL_S.start} to {TTL_S.stop - 1} seconds")
    if scope.name is not None and not AGENT_NAME.fullmatch(scope.name):
        raise InvalidToken(
            "A name has 1 to 63 lower-case letters, digits, '.', '_' or '-' and begins with no sign"
        )
    texts = [*(scope.capabilities or ()), *scope.labels, *scope.labels.values()]
    if any(len(text) > TEXT_LIMIT or not text.isprintable() for text in texts):
        raise InvalidToken(f"Capabilities and labels have at most {TEXT_LIMIT} printable characters each")
    if len(scope.capabilities or ()) > CAPABILITY_LIMIT or len(scope.labels) > LABEL_LIMIT:
        raise InvalidToken(f"A token has at most {CAPABILITY_LIMIT} capabilities and {LABEL_LIMIT} labels")
    if not all(scope.capabilities or ()) or not all(scope.labels):
        raise InvalidToken("Capabilities and names of labels are not empty")
