"""The two authorities, the ticket key and the server's certificate: what of trust is files.

Theory of operation. Replicas share the folder. Whoever makes a file there holds a named lock, so that two
that start together agree on the roots. Each looks at the folder again every few seconds (`refresh`); a root
that another replica added is trusted from then on, long before it signs. A root is retired when the newer one
signs and no leaf of the older one is left; that too is found out by looking, nobody has to remember it.
"""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database
from stellwerk.settings import TrustSettings
from stellwerk.trust.authority.authority import Authority
from stellwerk.trust.authority.roots import Root, RootUnusable
from stellwerk.trust.certificates import store
from stellwerk.trust.certificates.server import ServerCertificate, names_of
from stellwerk.trust.certificates.tickets import Tickets
from stellwerk.trust.vault.cipher import load_key

LOCK = "trust.authority"
HELD_US = 10 * MICROSECONDS
"""Making files takes milliseconds. Whoever was killed meanwhile holds up the next start for so long."""
RETRY_S = 0.2
AGENTS, SERVERS = "agents", "servers"
SETTLING = timedelta(seconds=60)
"""Replicas read the folder far more often; a minute also covers a folder that is synchronised."""
SERVER_OVERLAP = timedelta(hours=1)
"""Every replica has a certificate of the new root by then."""

log = structlog.get_logger(__name__)


class UnknownAuthority(Exception):
    """There are two authorities, `agents` and `servers`."""


class Authorities:
    """Opens, refreshes, rotates and retires."""

    def __init__(
        self,
        database: Database,
        settings: TrustSettings,
        data_dir: Path,
        clock: Clock,
        *,
        server_names: Sequence[str],
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._folder = settings.authority_dir or data_dir / "authority"
        self._opened: dict[str, Authority] = {}
        self._tickets: Tickets | None = None
        self._seen: tuple[str, ...] = ()
        self._server = ServerCertificate(
            data_dir / "server.pem",
            names_of(*server_names),
            timedelta(seconds=settings.server_certificate_s),
        )
        self._given_ca: str | None = None

    async def open(self) -> None:
        """Read or make what is missing. Raises RootUnusable, KeyUnusable, OSError, DatabaseUnavailable."""
        async with self._alone():
            await asyncio.to_thread(self._open)

    @property
    def agents(self) -> Authority:
        """Vouches for agents."""
        return self._opened[AGENTS]

    @property
    def servers(self) -> Authority:
        """Vouches for the server."""
        return self._opened[SERVERS]

    @property
    def tickets(self) -> Tickets:
        """Makes and reads bound tokens."""
        if self._tickets is None:
            raise RuntimeError("the authorities are not open")
        return self._tickets

    @property
    def server_file(self) -> Path:
        """Key and certificate of the server, PEM."""
        return self._server.file

    @property
    def server_ca(self) -> str:
        """What agents verify the server by, PEM."""
        return self._given_ca or self.servers.bundle

    @property
    def server_pins(self) -> list[str]:
        """SHA-256 of each certificate of `server_ca`, first that which vouches for the server now."""
        if self._given_ca is not None:
            given = x509.load_pem_x509_certificates(self._given_ca.encode())
            return [one.fingerprint(SHA256()).hex() for one in given]
        signer = self.servers.signer(self._clock.now_us()).fingerprint
        return [signer, *(root.fingerprint for root in self.servers.roots if root.fingerprint != signer)]

    async def refresh(self) -> bool:
        """Look at the files again, renew the server's certificate if it is time; tell whether any changed."""
        return await asyncio.to_thread(self._refresh)

    async def rotate(self, name: str) -> Root:
        """Add a root. Raises UnknownAuthority, RotationUnderWay, OSError."""
        if name not in (AGENTS, SERVERS):
            raise UnknownAuthority(name)
        async with self._alone():
            await self.refresh()
            return await asyncio.to_thread(self._opened[name].rotate, self._clock.now_us())

    async def retire(self) -> list[Root]:
        """Forget every older root that nobody needs any more; return those."""
        retired = []
        for authority in self._opened.values():
            if len(authority.roots) > 1 and await self._is_over(authority):
                root = await asyncio.to_thread(authority.retire)
                retired += [root] if root else []
        return retired

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        lock = self._database.lock(LOCK, uuid.uuid4().hex)
        while await lock.take(self._clock.now_us(), HELD_US) is None:  # noqa: ASYNC110 - its holder is another process
            await asyncio.sleep(RETRY_S)
        try:
            yield
        finally:
            await lock.release()

    async def _is_over(self, authority: Authority) -> bool:
        now_us = self._clock.now_us()
        newest, oldest = authority.roots[0], authority.roots[-1]
        if authority.signer(now_us) != newest:
            return False
        if authority.name == SERVERS:
            return authority.signer(now_us - SERVER_OVERLAP // timedelta(microseconds=1)) == newest
        renewable_us = int(self._settings.renew_after_expiry_s * MICROSECONDS)
        return not await self._database.read(
            lambda: store.root_in_use(oldest.fingerprint, now_us - renewable_us)
        )

    def _open(self) -> None:
        self._read()
        key = load_key(self._folder / "tickets.key")
        self._tickets = Tickets(key, self._settings.trust_domain, self._settings.token_s)
        self._server.ensure(self.servers, self._clock.now_us())
        given = self._settings.server_ca
        self._given_ca = None if given is None else given.read_text()
        if self._given_ca is not None and not x509.load_pem_x509_certificates(self._given_ca.encode()):
            raise RootUnusable(f"{given} holds no certificate")

    def _read(self) -> None:
        now_us, settings = self._clock.now_us(), self._settings
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        learning = timedelta(seconds=settings.agent_certificate_s + settings.renew_after_expiry_s)
        for name, settling in ((AGENTS, SETTLING), (SERVERS, learning)):
            self._opened[name] = Authority.open(name, self._folder / name, now_us, settling=settling)
        self._seen = self._listed()

    def _refresh(self) -> bool:
        changed = self._listed() != self._seen
        if changed:
            self._read()
        serial = self._server.ensure(self.servers, self._clock.now_us())
        if serial is not None:
            log.info("server certificate renewed", serial=serial, names=self._server.names)
        return changed or serial is not None

    def _listed(self) -> tuple[str, ...]:
        return tuple(sorted(str(file) for file in self._folder.glob("*/root-*.pem")))
