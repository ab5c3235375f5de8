"""Identities of deployment agents in use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from stellwerk.clock import Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.unit import Unit
from stellwerk.journal.service import Journal
from stellwerk.settings import TrustSettings
from stellwerk.trust.certificates.judging import Identity, Refused
from stellwerk.trust.enrolment.tokens import Admission, Application
from stellwerk.trust.principal import Principal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate as it is handed out."""

    agent_id: str
    serial: str
    certificate: str
    """PEM."""
    key: str | None = field(repr=False)
    """PEM of a key that was made here, this once; None where the agent sent a CSR."""
    ca: str
    """PEM bundle that verifies the server."""
    not_after: int
    """Microseconds UTC."""


@dataclass(frozen=True, slots=True)
class Enrolled(Generic[T]):
    """An agent that was admitted."""

    admission: Admission
    issued: Issued
    created: T
    """What the caller's unit returned."""


class Identities:
    """Admits agents, renews and revokes their certificates, and tells whom a certificate stands for."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        settings: TrustSettings,
        data_dir: Path,
        clock: Clock,
        server_names: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
    ) -> None: ...

    async def start(self) -> None:
        """Open or make the authorities, load the live certificates, follow changes until `stop`."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def enrol(
        self,
        token: str,
        application: Application,
        csr: str | None,
        create: Callable[[Admission], Unit[T]],
    ) -> Enrolled[T]:
        """Burn the token and run `create` in one transaction, then issue the first certificate.

        `create(admission)` writes the agent; it is called again with `admission.repeated` when the same token
        and key come again, and whatever it raises undoes everything. Raises TokenRefused, RequestRefused,
        ServerKeysDenied, DatabaseUnavailable.
        """
        raise NotImplementedError

    async def identify(
        self, certificate: bytes, *, renewing: bool = False, connected_at: int | None = None
    ) -> Identity | Refused:
        """Tell whom a verified certificate (DER) stands for; its first use makes it the current one.

        From memory (microseconds) but for first uses and unknown serials. `renewing` also admits an expired
        one where `renew_after_expiry_s` allows it (`Identity.expired`). `connected_at` is when the connection
        began (None: now): an old connection that shows a superseded certificate is no clone.
        """
        raise NotImplementedError

    def still_valid(self, identity: Identity) -> Refused | None:
        """Judge an identity again, from memory: what an open WebSocket asks at every frame."""
        raise NotImplementedError

    def on_revoked(self, callback: Callable[[str], None]) -> Unlisten:
        """Call back on the loop with the id of each agent that is revoked, here or in another replica."""
        raise NotImplementedError

    async def renew(self, identity: Identity, csr: str | None) -> Issued | None:
        """Return a new certificate when it is time, the same one until it is used; None when it is not."""
        raise NotImplementedError

    def revoke_unit(self, agent_id: str, reason: str, by: Principal) -> Unit[int]:
        """Revoke every certificate of the agent inside another unit; call `revoked` after its commit."""
        raise NotImplementedError

    async def revoked(self, agent_id: str) -> None:
        """Make a committed revocation known here at once, and elsewhere within a second."""
        raise NotImplementedError

    async def revoke(self, agent_id: str, reason: str, by: Principal) -> int:
        """Revoke every certificate of the agent; return how many were good until now."""
        raise NotImplementedError

    def cloned_at(self, agent_id: str) -> int | None:
        """When a long superseded certificate of the agent was last presented; None if none was."""
        raise NotImplementedError

    def ticket(self, identity: Identity) -> tuple[str, int]:
        """Make a token bound to the certificate (RFC 8705); return it and its life in seconds."""
        raise NotImplementedError

    async def identify_ticket(self, token: str, certificate: bytes) -> Identity | Refused:
        """Like `identify`, for a token together with the certificate that a proxy forwards."""
        raise NotImplementedError

    def crl(self) -> str:
        """The revoked serials of every agent root, PEM."""
        raise NotImplementedError

    @property
    def renew_after_s(self) -> int:
        """Seconds of a certificate's life after which an agent should send a CSR."""
        raise NotImplementedError

    @property
    def agent_ca(self) -> str:
        """PEM bundle that verifies agents: what listeners trust."""
        raise NotImplementedError

    @property
    def server_ca(self) -> str:
        """PEM bundle that verifies the server: what agents trust."""
        raise NotImplementedError

    @property
    def server_pin(self) -> str:
        """SHA-256 (hex) of the root that vouches for the server now: printed beside a registration token."""
        raise NotImplementedError

    @property
    def server_certificate(self) -> Path:
        """PEM file with the server's key and certificate; replaced as a whole when it is renewed."""
        raise NotImplementedError

    def on_trust_changed(self, callback: Callable[[], None]) -> Unlisten:
        """Call back on the loop when roots or the server's certificate have changed."""
        raise NotImplementedError

    async def rotate(self, authority: str, by: Principal) -> str:
        """Add a root to `agents` or `servers`; return its fingerprint. Raises RotationUnderWay."""
        raise NotImplementedError
