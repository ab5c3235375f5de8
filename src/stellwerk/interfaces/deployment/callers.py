"""Who calls: an agent by its certificate, or somebody with an API key.

The agents' own routes know agents only, on an open listener too. On all others a key that is sent goes before
a certificate, and a certificate before the user of an open listener. TLS has proved that the peer holds the
certificate's key; whether the certificate is good is judged here, on every request.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stellwerk.http.auth import check_scope
from stellwerk.http.operation import Call
from stellwerk.http.problem import Problem
from stellwerk.interfaces.deployment.errors import certificate_refused
from stellwerk.trust.certificates.changing import AGENT_PRINCIPAL
from stellwerk.trust.certificates.judging import Identity, Refused
from stellwerk.trust.certificates.service import Identities
from stellwerk.trust.principal import Principal
from stellwerk.trust.scopes import Scope

KEY_PREFIX = b"bearer sw_"
BEARER = b"bearer "
REQUIRED = "agent.certificate.required"
AGENTS = "/api/v1/agents/"
OWN_ROUTES = frozenset({"heartbeat", "tasks", "task-stream"})


@dataclass(frozen=True, slots=True)
class AgentPrincipal(Principal):
    """An agent that was recognised by its certificate; it has no scopes, its routes know it."""

    identity: Identity


class Callers:
    """Recognises agents for the gate."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    async def recognise(self, scope: Mapping[str, Any], headers: dict[bytes, bytes]) -> Principal | None:
        """Name the agent that calls; None where it is no agent or a key is sent to a route for both.

        Raises Problem for a certificate that is not good, and on an agent's own route for a missing one.
        """
        path = scope["path"]
        own = is_agents_own(path)
        if not own and (path == f"{AGENTS}register" or _has_key(headers)):
            return None
        certificate = _certificate(scope)
        if certificate is None:
            if own:
                raise _missing()
            return None
        found = await self._identify(certificate, scope, headers, renewing=path.endswith("/heartbeat"))
        if isinstance(found, Refused):
            raise certificate_refused(found)
        return AgentPrincipal(f"{AGENT_PRINCIPAL}{found.agent_id}", found.agent_id, frozenset(), found)

    async def _identify(
        self, certificate: bytes, scope: Mapping[str, Any], headers: dict[bytes, bytes], *, renewing: bool
    ) -> Identity | Refused:
        tls = scope["extensions"]["tls"]
        authorization = headers.get(b"authorization", b"")
        if tls.get("forwarded"):
            # The proxy proved the certificate; the token proves that the agent speaks through it.
            token = authorization[len(BEARER) :] if authorization[: len(BEARER)].lower() == BEARER else b""
            # An agent that was away for longer than its token lives could not come back without its own.
            ended = scope["path"] == f"{AGENTS}token"
            return await self._identities.identify_ticket(token.decode("latin-1"), certificate, ended=ended)
        return await self._identities.identify(
            certificate, renewing=renewing, connected_at=tls.get("connected_at")
        )


def is_agents_own(path: str) -> bool:
    """Tell whether a path is one of those that only an agent may call."""
    if not path.startswith(AGENTS):
        return False
    parts = path[len(AGENTS) :].split("/")
    return parts == ["token"] or (len(parts) > 1 and parts[1] in OWN_ROUTES)


def agent_of(call: Call[Any, Any]) -> Identity:
    """Return the identity of the agent that calls for itself. Raises Problem."""
    return own_identity(call.principal, call.path)


def own_identity(principal: Principal, path: Mapping[str, str]) -> Identity:
    """Return the identity of an agent whose id must be the one of the path. Raises Problem."""
    if not isinstance(principal, AgentPrincipal):
        raise _missing()
    identity = principal.identity
    if path.get("id", identity.agent_id) != identity.agent_id:
        raise Problem.forbidden("The certificate is another agent's", "agent.not_yours")
    return identity


def check_reader(principal: Principal, path: Mapping[str, str]) -> None:
    """Let an operator read any agent, and an agent itself. Raises Problem."""
    if isinstance(principal, AgentPrincipal):
        own_identity(principal, path)
    else:
        check_scope(Scope.FLEET_READ, principal)


def _missing() -> Problem:
    return Problem(401, REQUIRED, "This needs the agent's certificate; connect with TLS and show it")


def _has_key(headers: dict[bytes, bytes]) -> bool:
    sent = headers.get(b"authorization", b"")[: len(KEY_PREFIX)].lower()
    return b"x-api-key" in headers or sent == KEY_PREFIX


def _certificate(scope: Mapping[str, Any]) -> bytes | None:
    """Take the peer's certificate, DER, as ASGI's TLS extension has it."""
    tls = scope.get("extensions", {}).get("tls")
    chain = tls.get("client_cert_chain") if tls else None
    if not chain:
        return None
    first = chain[0]
    try:
        return first if isinstance(first, bytes) else ssl.PEM_cert_to_DER_cert(first)
    except ValueError:
        return b""
