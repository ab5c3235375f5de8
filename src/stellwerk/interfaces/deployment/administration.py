"""Routes of administrators: registration tokens, secrets, the authorities' roots."""

import hashlib
import ssl
from typing import Any

import msgspec

from stellwerk.http.operation import JSON, Answer, Call, Operation, Raw
from stellwerk.http.texts import whole
from stellwerk.interfaces.deployment import rendering
from stellwerk.interfaces.deployment.wire import administration as wire
from stellwerk.interfaces.deployment.words import stamp
from stellwerk.trust.certificates.service import Identities
from stellwerk.trust.enrolment.tokens import TokenScope
from stellwerk.trust.scopes import Scope
from stellwerk.trust.vault.service import NAME, Secrets

encode = msgspec.json.Encoder().encode
TOKENS = "/api/v1/admin/agent-tokens"
SECRETS = "/api/v1/admin/secrets"
CA = "/api/v1/admin/ca"
END = "-----END CERTIFICATE-----"


class AdministrationRoutes:
    """See the module."""

    def __init__(self, identities: Identities, secrets: Secrets) -> None:
        self._identities = identities
        self._tokens = identities.tokens
        self._secrets = secrets

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            self._route("POST", TOKENS, self.create_token, wire.CreatedToken, "Make a registration token",
                        scope=Scope.FLEET_ADMIN, takes=wire.NewToken, body_required=False, status=201),
            self._route("GET", TOKENS, self.list_tokens, list[wire.ShownToken], "List registration tokens",
                        scope=Scope.FLEET_ADMIN),
            self._route("DELETE", TOKENS + "/{token_id}", self.revoke_token, wire.ShownToken,
                        "Revoke a registration token that was not used", scope=Scope.FLEET_ADMIN),
            self._route("PUT", SECRETS + "/{name}", self.set_secret, wire.SecretSet,
                        "Set a secret", takes=wire.NewSecret, refuses=(409,), misses=False,
                        path_schemas={"name": {"type": "string", "pattern": whole(NAME.pattern)}}),
            self._route("GET", SECRETS, self.list_secrets, list[wire.ShownSecret], "List secrets"),
            self._route("DELETE", SECRETS + "/{name}", self.delete_secret, wire.SecretDeleted,
                        "Remove a secret; tasks that refer to it fail"),
            self._route("GET", CA, self.authorities, wire.Authorities, "Show the roots"),
            self._route("POST", CA + "/rotate", self.rotate, wire.Rotated,
                        "Add a root; the one before stays trusted until its last certificate has ended",
                        takes=wire.Rotate, refuses=(409,)),
        ]  # fmt: skip

    def _route(
        self,
        method: str,
        path: str,
        handle: Any,
        gives: Any,
        summary: str,
        *,
        scope: Scope = Scope.ADMIN,
        **more: Any,
    ) -> Operation:
        return Operation(
            method=method,
            path=path,
            handle=handle,
            scope=scope,
            summary=summary,
            tag="administration",
            gives=gives,
            **more,
        )

    async def create_token(self, call: Call[wire.NewToken | None, None]) -> Answer:
        body = call.body or wire.NewToken()
        scope = TokenScope(
            body.name,
            None if body.capabilities is None else tuple(body.capabilities),
            body.labels,
            body.replaces,
        )
        made = await self._tokens.create(scope, body.ttl_seconds, call.principal)
        shown = rendering.token(made.record)
        return wire.CreatedToken(
            **{name: getattr(shown, name) for name in shown.__struct_fields__},
            token=made.token,
            ca_sha256=self._identities.server_pins[0],
        )

    async def list_tokens(self, call: Call[None, None]) -> Answer:
        return Raw(encode([rendering.token(one) for one in await self._tokens.list()]), JSON)

    async def revoke_token(self, call: Call[None, None]) -> Answer:
        return rendering.token(await self._tokens.revoke(call.path["token_id"], call.principal))

    async def set_secret(self, call: Call[wire.NewSecret, None]) -> Answer:
        name = call.path["name"]
        version = await self._secrets.put(call.principal, name, call.body.value)
        return wire.SecretSet(name=name, version=version)

    async def list_secrets(self, call: Call[None, None]) -> Answer:
        shown = [
            wire.ShownSecret(
                name=one.name,
                version=one.version,
                created_at=stamp(one.created_at),
                updated_at=stamp(one.updated_at),
                updated_by=one.updated_by,
            )
            for one in await self._secrets.list()
        ]
        return Raw(encode(shown), JSON)

    async def delete_secret(self, call: Call[None, None]) -> Answer:
        await self._secrets.delete(call.principal, call.path["name"])
        return wire.SecretDeleted()

    async def authorities(self, call: Call[None, None]) -> Answer:
        agents, servers = self._identities.agent_ca, self._identities.server_ca
        return wire.Authorities(
            agents=agents,
            servers=servers,
            agents_sha256=fingerprints(agents),
            servers_sha256=self._identities.server_pins,
        )

    async def rotate(self, call: Call[wire.Rotate, None]) -> Answer:
        authority = call.body.authority
        fingerprint = await self._identities.rotate(authority, call.principal)
        return wire.Rotated(authority=authority, sha256=fingerprint)


def fingerprints(bundle: str) -> list[str]:
    """Return the SHA-256 of each certificate of a PEM bundle, in hex."""
    blocks = [block + END for block in bundle.split(END) if block.strip()]
    return [hashlib.sha256(ssl.PEM_cert_to_DER_cert(block.strip())).hexdigest() for block in blocks]
