"""Connector tokens: what one looks like, what it may, and whether it may still be used.

A token that is made here is `swc_<token id>_<secret>`, with 256 random bits; one that the settings name may
be any text. Of both only SHA-256 hashes are kept and compared, so the time of a comparison tells nothing
about the text.
"""

import re
from dataclasses import dataclass, field

from stellwerk.trust.connectors.capabilities import Capability
from stellwerk.trust.keys import NAME_LIMIT, SECRET_BYTES, Refusal
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

PREFIX = "swc"
CONNECTOR_PRINCIPAL = "connector:"
"""Begins the principal id of whoever holds a connector token."""
CONFIGURED = "configured"
"""Id of the token that the settings name."""
AGENT_LIMIT = 256
_TOKEN = re.compile(rf"{PREFIX}_([0-9a-f]+)_([0-9a-f]{{{2 * SECRET_BYTES}}})")


@dataclass(frozen=True, slots=True)
class ConnectorToken:
    """A connector token without its secret. Instants are microseconds UTC."""

    token_id: str
    name: str
    secret_hash: str
    capabilities: frozenset[Capability]
    agents: frozenset[str] | None
    """Ids of the only agents that it may see and change; None is all."""
    created_at: int
    created_by: str
    """Id of the principal that made it."""
    expires_at: int | None = None
    """None never expires."""
    last_used_at: int | None = None
    """Written in batches, so it may lag behind."""
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class Connector(Principal):
    """A caller that showed a connector token. It has no scopes; the connector's routes know it."""

    token: ConnectorToken = field(compare=False)

    def may_touch(self, agent: str) -> bool:
        """Tell whether the token is for an agent."""
        return self.token.agents is None or agent in self.token.agents


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The answer to a token that is not good."""

    reason: Refusal
    token_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewConnectorToken:
    """A new token and, this once, its text."""

    record: ConnectorToken
    token: str = field(repr=False)


class InvalidConnectorToken(Exception):
    """Refuse to create a token: its name, capabilities, agents or expiry do not fit."""


class CapabilitiesExceeded(Exception):
    """Refuse to create a token that may more than the one who asks for it."""


class UnknownConnectorToken(Exception):
    """There is no connector token of this id."""


class FixedConnectorToken(Exception):
    """The token of the settings is revoked where it is set, not here."""


def write_token(token_id: str, secret: str) -> str:
    """Put a token together; the secret is in hex."""
    return f"{PREFIX}_{token_id}_{secret}"


def read_token(text: str) -> tuple[str, str] | None:
    """Take a token that was made here apart into id and secret; None if it is none."""
    found = _TOKEN.fullmatch(text)
    return None if found is None else (found[1], found[2])


def connector_of(token: ConnectorToken) -> Connector:
    """Name the principal that a token stands for."""
    return Connector(CONNECTOR_PRINCIPAL + token.token_id, token.name, frozenset(), token)


def check_new_token(token: ConnectorToken, by: Principal, now_us: int) -> None:
    """Raise InvalidConnectorToken or CapabilitiesExceeded unless `by` may create such a token."""
    name = token.name
    if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable() or name != name.strip():
        raise InvalidConnectorToken(
            f"The name has 1 to {NAME_LIMIT} printable characters, none of them blank at the ends"
        )
    if not token.capabilities:
        raise InvalidConnectorToken("A connector token needs at least one capability that gives a right")
    if token.agents is not None and not 1 <= len(token.agents) <= AGENT_LIMIT:
        raise InvalidConnectorToken(f"A token is for 1 to {AGENT_LIMIT} agents, or for all: then name none")
    if token.expires_at is not None and token.expires_at <= now_us:
        raise InvalidConnectorToken("The token would have expired already")
    writes = any(one.writes for one in token.capabilities)
    needed = Scope.FLEET_ADMIN if writes else Scope.FLEET_READ
    if not by.may(needed):
        raise CapabilitiesExceeded(f"{by.name} does not have {needed.value} and cannot give it away")
