"""The ways in which the connector is published: where each lies and what it calls its rights.

The document and the published program differ: in the prefix, the header of the token, the names of the
capabilities. Both are served, each in its own words; either header is taken under both. A third way is for
operators with API keys, and for our command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from stellwerk.http.operation import Call, Check
from stellwerk.http.problem import Problem
from stellwerk.http.texts import PRINTABLE
from stellwerk.interfaces.connector.errors import unauthorized
from stellwerk.trust.connectors.capabilities import Capability, may_read, subject_of
from stellwerk.trust.connectors.tokens import Connector
from stellwerk.trust.principal import Command, Principal
from stellwerk.trust.scopes import Scope

ANY_TOKEN = "any"  # noqa: S105 - what the description says of routes that need no capability
COMMAND_ID, COMMAND_SOURCE = b"x-command-id", b"x-command-source"
LONGEST_COMMAND = 200
_COMMAND = {"type": "string", "maxLength": LONGEST_COMMAND, "pattern": PRINTABLE}
COMMANDS: Mapping[str, Any] = {
    "X-Command-ID": {**_COMMAND, "description": "What the caller calls this change; kept in the journal."},
    "X-Command-Source": {**_COMMAND, "description": "Who gave the command; kept with its id."},
}
AGENT = "id"
"""Name of the parameter of paths that is an agent's id."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way."""

    name: Literal["documented", "coded", "operators"]
    prefix: str
    tag: str

    @property
    def takes_tokens(self) -> bool:
        """Whether its callers show connector tokens; else API keys."""
        return self.name != "operators"

    def scope_for(self, capability: Capability | None) -> Scope | None:
        """Return the scope that stands for a capability where keys are taken; None where tokens are."""
        if self.takes_tokens:
            return None
        return Scope.FLEET_ADMIN if capability is not None and capability.writes else Scope.FLEET_READ

    def check_for(self, capability: Capability | None) -> Check | None:
        """Make the check of a route that needs a capability (None: any token)."""
        if not self.takes_tokens:
            return None

        def check(principal: Principal, path: Mapping[str, str]) -> None:
            connector = connector_of(principal)
            if capability is not None and capability not in connector.token.capabilities:
                raise self._lacking(connector, capability)
            agent = path.get(AGENT)
            if agent is not None and not connector.may_touch(agent):
                raise Problem.forbidden(f"this token is not for agent {agent}", "agent_not_allowed")

        return check

    def needed(self, capability: Capability | None) -> str | None:
        """Say for the description what a token must allow."""
        if not self.takes_tokens:
            return None
        return ANY_TOKEN if capability is None else capability.value

    def _lacking(self, connector: Connector, capability: Capability) -> Problem:
        if self.name == "documented":
            name = capability.value
        else:
            name = subject_of(capability)
            if capability.writes and may_read(name, connector.token.capabilities):
                text = f"capability {name} is read-only; write operations are not permitted"
                return Problem(403, "read_only", text, fields={"required": capability.value})
        text = f"capability {name} is not enabled for this connector"
        return Problem(403, "capability_disabled", text, fields={"required": capability.value})


DOCUMENTED = Dialect("documented", "/connector", "connector")
CODED = Dialect("coded", "/api/v1/connector", "connector v1")
OPERATORS = Dialect("operators", "/api/v1/traffic", "traffic")
DIALECTS = (DOCUMENTED, CODED, OPERATORS)


def dialect_of(path: str) -> Dialect | None:
    """Find the dialect that a path belongs to."""
    for dialect in DIALECTS:
        prefix = dialect.prefix
        if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
            return dialect
    return None


def connector_of(principal: Principal) -> Connector:
    """Return the caller as a connector. Raises Problem."""
    if not isinstance(principal, Connector):
        raise unauthorized()
    return principal


def acting(call: Call[Any, Any]) -> Principal:
    """Return the principal as which a caller changes agents, with what it calls the change. Raises Problem.

    A connector's right was judged by its capabilities; for the fleet it is an operator of this one change.
    """
    principal, command = call.principal, _command_of(call)
    if isinstance(principal, Connector):
        return Principal(principal.id, principal.name, frozenset({Scope.FLEET_ADMIN}), command=command)
    return replace(principal, command=command)


def _command_of(call: Call[Any, Any]) -> Command | None:
    name, source = (_text(call, header) for header in (COMMAND_ID, COMMAND_SOURCE))
    return None if name is None else Command(name, source)


def _text(call: Call[Any, Any], header: bytes) -> str | None:
    """Read a header; None where it is missing or empty. Raises Problem."""
    text = (call.header(header) or "").strip()
    if len(text) > LONGEST_COMMAND or not text.isascii() or not (text.isprintable() or not text):
        raise Problem.invalid(f"{header.decode()} has at most {LONGEST_COMMAND} printable ASCII characters")
    return text or None


def may_see(principal: Principal, agent: str) -> bool:
    """Tell whether an agent is shown to a caller in lists."""
    return not isinstance(principal, Connector) or principal.may_touch(agent)
