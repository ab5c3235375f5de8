"""API keys: what a token looks like, and whether a key may still be used.

A token is `sw_<key id>_<secret>`. The secret has 256 random bits, so a plain SHA-256 protects it at rest as
well as a slow hash would protect a password, and costs a microsecond instead of a tenth of a second.
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

PREFIX = "sw"
KEY_PRINCIPAL = "key:"
"""Begins the principal id of whoever holds a key."""
KEY_ID_BYTES = 6
SECRET_BYTES = 32
NAME_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Key:
    """An API key without its secret. Instants are microseconds UTC."""

    key_id: str
    name: str
    secret_hash: str
    scopes: frozenset[Scope]
    created_at: int
    expires_at: int | None
    """None never expires."""
    last_used_at: int | None
    """Written in batches, so it may lag behind."""
    revoked_at: int | None
    created_by: str
    """Id of the principal that made it."""


class Credential(Protocol):
    """What a secret is judged by, whatever it is the secret of. Instants are microseconds UTC."""

    @property
    def secret_hash(self) -> str: ...

    @property
    def expires_at(self) -> int | None: ...

    @property
    def revoked_at(self) -> int | None: ...


class Refusal(StrEnum):
    """Why a token is refused; for the journal and the log, callers only learn that it was."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong_secret"  # noqa: S105 - the name of a refusal
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """The answer to a token that is not good."""

    reason: Refusal
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new key and, this once, its token."""

    key: Key
    token: str


class InvalidKey(Exception):
    """Refuse to create a key: its name, scopes or expiry do not fit."""


class ScopesExceeded(Exception):
    """Refuse to create a key that may more than the one who asks for it."""


class UnknownKey(Exception):
    """There is no key of this id."""


def write_token(key_id: str, secret: bytes) -> str:
    """Put a token together."""
    return f"{PREFIX}_{key_id}_{secret.hex()}"


def read_token(token: str) -> tuple[str, str] | None:
    """Take a token apart into key id and secret; None if it is none."""
    parts = token.split("_")
    if len(parts) != 3 or parts[0] != PREFIX or not parts[1] or len(parts[2]) != 2 * SECRET_BYTES:
        return None
    return parts[1], parts[2]


def hash_secret(secret: str) -> str:
    """Hash the secret as it is stored; any bytes may have been sent as one."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def refusal_of(record: Credential, secret: str, now_us: int) -> Refusal | None:
    """Judge a secret for its record; None is good. The secret comes first: only its holder learns the
    record's state."""
    if not hmac.compare_digest(hash_secret(secret), record.secret_hash):
        return Refusal.WRONG_SECRET
    if record.revoked_at is not None:
        return Refusal.REVOKED
    if record.expires_at is not None and record.expires_at <= now_us:
        return Refusal.EXPIRED
    return None


def principal_of(key: Key) -> Principal:
    """Name the principal that a key stands for."""
    return Principal(KEY_PRINCIPAL + key.key_id, key.name, key.scopes)


def check_new_key(
    name: str, scopes: frozenset[Scope], expires_at: int | None, by: Principal, now_us: int
) -> None:
    """Raise InvalidKey or ScopesExceeded unless `by` may create such a key."""
    if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable() or name != name.strip():
        raise InvalidKey(
            f"The name has 1 to {NAME_LIMIT} printable characters, none of them blank at the ends"
        )
    if not scopes:
        raise InvalidKey("A key needs at least one scope")
    if expires_at is not None and expires_at <= now_us:
        raise InvalidKey("The key would have expired already")
    beyond = sorted(scope.value for scope in scopes if not by.may(scope))
    if beyond:
        raise ScopesExceeded(f"{by.name} does not have {', '.join(beyond)} and cannot give it away")
