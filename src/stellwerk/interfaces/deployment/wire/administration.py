"""Bodies about registration tokens, secrets and the authorities."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stellwerk.http.texts import PRINTABLE, whole
from stellwerk.interfaces.deployment.wire.text import Id, Name, Timestamp, Wire

Plain = Annotated[str, Meta(min_length=1, max_length=200, pattern=whole("[ -~]+"))]
PlainValue = Annotated[str, Meta(max_length=200, pattern=PRINTABLE)]
PlainLabels = Annotated[dict[Plain, PlainValue], Meta(max_length=64)]


class NewToken(Wire):
    """What a registration token admits, once. What is not given is left to the agent."""

    name: Name | None = None
    capabilities: Annotated[list[Plain], Meta(max_length=64)] | None = None
    labels: PlainLabels = msgspec.field(default_factory=dict)
    ttl_seconds: Annotated[float, Meta(ge=300, le=86_400)] | None = None
    replaces: Annotated[Id | None, Meta(description="Id of the agent whose place the new one takes.")] = None


class ShownToken(Wire):
    """A token without its secret."""

    token_id: str
    name: str | None
    capabilities: tuple[str, ...] | None
    labels: dict[str, str]
    replaces: str | None
    created_at: Timestamp
    created_by: str
    expires_at: Timestamp
    revoked_at: Timestamp | None
    used_at: Timestamp | None
    used_by: str | None


class CreatedToken(ShownToken):
    """A new token; `token` is shown only now, `caSha256` is what the agent's first contact is checked by."""

    token: str
    ca_sha256: str


class NewSecret(Wire):
    value: Annotated[str, Meta(min_length=1, max_length=16_384)]


class ShownSecret(Wire):
    """Everything about a secret but its value."""

    name: str
    version: int
    created_at: Timestamp
    updated_at: Timestamp
    updated_by: str


class SecretSet(Wire):
    name: str
    version: int


class Rotate(Wire):
    authority: Literal["agents", "servers"]


class Rotated(Wire):
    authority: str
    sha256: str


class Authorities(Wire):
    """The roots that verify agents and servers."""

    agents: str
    servers: str
    agents_sha256: list[str]
    servers_sha256: list[str]


class SecretDeleted(Wire):
    deleted: bool = True
