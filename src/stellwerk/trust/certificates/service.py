"""Identities of deployment agents in use: the use cases of their certificates.

Theory of operation. Every certificate that was issued has a record; the live ones are in memory
(`following.py`), so that recognising an agent, on every request, costs microseconds and a revocation holds
everywhere within a second. A certificate is issued in four steps (`issuing.py`). Its first use makes it the
current one, in a transaction of its own before the request goes on; until then the one before it stays good,
so an agent that dies between receiving and storing a new certificate goes on with the old. Changes of one
agent's certificates are serialised by the database (`store.lock_agent`), never by a lock in memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from cryptography import x509

from stellwerk.clock import MICROSECONDS, Clock
from stellwerk.database.database import Database, Unlisten
from stellwerk.database.unit import Unit
from stellwerk.journal.service import Journal
from stellwerk.loop import Loop
from stellwerk.settings import TrustSettings
from stellwerk.trust.authority.requests import check_key, read_request
from stellwerk.trust.certificates import changing, store
from stellwerk.trust.certificates.authorities import Authorities
from stellwerk.trust.certificates.crl import build_crl
from stellwerk.trust.certificates.enrolling import Enrolling
from stellwerk.trust.certificates.following import Following
from stellwerk.trust.certificates.issuing import Issuing, KeyOffer, Signed, intend_renewal
from stellwerk.trust.certificates.judging import Identity, Refused, Rules, is_long_superseded
from stellwerk.trust.certificates.recognition import Recognition
from stellwerk.trust.certificates.record import LIVE, Record, state_at
from stellwerk.trust.certificates.renewing import DUE, Mint, Repeat, plan_renewal, renewal_is_due
from stellwerk.trust.certificates.table import CertificateTable
from stellwerk.trust.certificates.upkeep import Upkeep
from stellwerk.trust.enrolment.service import RegistrationTokens
from stellwerk.trust.enrolment.tokens import Admission, Application
from stellwerk.trust.principal import Principal

T = TypeVar("T")

LOOPBACK = ("localhost", "127.0.0.1", "::1")
CRL_US = 60 * MICROSECONDS
"""A list without news is signed again this often."""

log = structlog.get_logger(__name__)


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
        *,
        server_names: Sequence[str] = LOOPBACK,
    ) -> None:
        """`server_names` are the host names and addresses that the server's certificate names."""
        self._database = database
        self._journal = journal
        self._settings = settings
        self._clock = clock
        renewable_us = int(settings.renew_after_expiry_s * MICROSECONDS)
        self._rules = Rules(int(settings.superseded_grace_s * MICROSECONDS), renewable_us)
        self._table = CertificateTable()
        self._following = Following(database, self._table, clock, renewable_us)
        self._authorities = Authorities(database, settings, data_dir, clock, server_names=server_names)
        self._upkeep = Upkeep(database, self._authorities, self._table, settings, clock)
        self._issuing = Issuing(database, lambda: self._authorities.agents, settings)
        self._enrolling = Enrolling(database, self._issuing, settings, clock)
        self._recognition = Recognition(database, journal, self._following, self._rules, clock)
        self._crl: tuple[object, str] = (None, "")
        self.tokens = RegistrationTokens(database, journal, settings, clock)
        """Making, listing and revoking registration tokens."""

    async def start(self) -> None:
        """Open or make the authorities, load the live certificates, follow changes until `stop`.

        Raises RootUnusable, KeyUnusable, OSError, DatabaseUnavailable.
        """
        await self._authorities.open()
        await self._following.start()
        await self._upkeep.start()
        self._warn_of_foreign_roots()

    @property
    def loops(self) -> Sequence[Loop]:
        """What runs in the background."""
        return (self._following.loop, self._upkeep.loop)

    async def stop(self) -> None:
        """Stop following; again is no error."""
        await self._upkeep.stop()
        await self._following.stop()

    async def enrol(
        self,
        token: str,
        application: Application,
        csr: str | None,
        create: Callable[[Admission], Unit[T]],
    ) -> Enrolled[T]:
        """Burn the token and run `create` in one transaction, then issue the first certificate.

        `create(admission)` writes the agent. The same token with the same CSR key again is the same
        registration, whose answer was lost: `create` is called with `admission.repeated` and should only
        read. Whatever it raises undoes everything, the burning too. Raises TokenRefused, RequestRefused,
        ServerKeysDenied, RevokedMeanwhile, DatabaseUnavailable.
        """
        admitted = await self._enrolling.enrol(token, application, csr, create)
        issued = await self._hand_out(admitted.signed, admitted.offer)
        return Enrolled(admitted.admission, issued, admitted.created)

    async def identify(
        self, certificate: bytes, *, renewing: bool = False, connected_at: int | None = None
    ) -> Identity | Refused:
        """Tell whom a verified certificate (DER) stands for; its first use makes it the current one.

        From memory (microseconds) but for first uses and unknown serials. `renewing` also admits an expired
        one where `renew_after_expiry_s` allows it (`Identity.expired`: it may renew and nothing else).
        `connected_at` is when the connection began (None: now): an old connection that shows a superseded
        certificate is no clone. Raises DatabaseUnavailable.
        """
        return await self._recognition.identify(certificate, renewing=renewing, connected_at=connected_at)

    def still_valid(self, identity: Identity) -> Refused | None:
        """Judge an identity again, from memory: what an open WebSocket asks before every frame."""
        return self._recognition.still_valid(identity)

    def on_revoked(self, callback: Callable[[str], None]) -> Unlisten:
        """Call back on the loop with the id of each agent that is revoked, here or in another replica."""
        return self._following.on_revoked(callback)

    async def renew(self, identity: Identity, csr: str | None) -> Issued | None:
        """Return a new certificate when it is time, the same one until it is used; None when it is not.

        Without a CSR the present key is certified again. Raises RequestRefused, DatabaseUnavailable.
        """
        now_us = self._clock.now_us()
        asked = csr is not None
        if not identity.expired and not renewal_is_due(
            identity.not_before, identity.not_after, now_us, asked=asked
        ):
            return None
        offer = KeyOffer(read_request(csr)) if csr is not None else await self._present_key(identity)
        known = self._table.of_agent(identity.agent_id)
        plan = plan_renewal(known, identity.serial, offer.hash, now_us)
        if isinstance(plan, Mint):
            intent = self._issuing.prepare(offer.public, identity.agent_id, now_us)
            plan = await self._database.write(lambda: intend_renewal(intent.record, identity.serial))
            if isinstance(plan, Mint):
                return await self._hand_out(await self._issuing.finish(intent, now_us), offer)
        if isinstance(plan, Repeat):
            serial = plan.serial
            waiting = await self._database.read(lambda: store.read_waiting(serial))
            return None if waiting is None else self._issued(Signed(waiting[1], waiting[0]), offer)
        return None

    def revoke_unit(self, agent_id: str, reason: str, by: Principal) -> Unit[int]:
        """Revoke every certificate of the agent inside another unit; call `revoked` after its commit.

        Returns how many were not revoked before.
        """
        return len((yield from changing.revoke(agent_id, reason, by.id, self._clock.now_us())))

    async def revoked(self, agent_id: str) -> None:
        """Make a committed revocation known here at once, and elsewhere within a second."""
        await self._following.committed(await self._database.read(lambda: store.read_agent(agent_id)))
        self._journal.committed()

    async def revoke(self, agent_id: str, reason: str, by: Principal) -> int:
        """Revoke every certificate of the agent; return how many were not revoked before."""
        count = await self._database.write(lambda: self.revoke_unit(agent_id, reason, by))
        await self.revoked(agent_id)
        return count

    def cloned_at(self, agent_id: str) -> int | None:
        """When a long superseded certificate of the agent was last presented; None if none was.

        Forgotten at that certificate's end.
        """
        seen = [record.cloned_at for record in self._table.of_agent(agent_id)]
        return max((at for at in seen if at is not None), default=None)

    def not_after(self, agent_id: str) -> int | None:
        """When the agent's current certificate ends; None if it has none."""
        ends = [record.not_after for record in self._table.of_agent(agent_id) if record.state in LIVE]
        return max(ends, default=None)

    async def certificates(self, agent_id: str) -> list[Record]:
        """Return every recorded certificate of the agent, newest first, expired ones as such."""
        now_us = self._clock.now_us()
        found = await self._database.read(lambda: store.read_agent(agent_id))
        shown = [replace(record, state=state_at(record, now_us)) for record in found]
        return sorted(shown, key=lambda each: each.intended_at, reverse=True)

    def ticket(self, identity: Identity) -> tuple[str, int]:
        """Make a token bound to the certificate (RFC 8705); return it and its life in seconds."""
        tickets = self._authorities.tickets
        return tickets.write(identity, self._clock.now_us()), tickets.lifetime_s

    def identity_of(self, issued: Issued) -> Identity:
        """Return the identity that a certificate just handed out will stand for."""
        record = self._table.get(issued.serial)
        if record is None or record.thumbprint is None:
            raise KeyError(issued.serial)
        return Identity(
            agent_id=record.agent_id,
            serial=record.serial,
            thumbprint=record.thumbprint,
            not_before=record.not_before,
            not_after=record.not_after,
            state=record.state,
        )

    async def identify_ticket(
        self, token: str, certificate: bytes, *, ended: bool = False
    ) -> Identity | Refused:
        """Like `identify`, for a token together with the certificate that a proxy forwards.

        `ended` also takes a token whose time is over, as long as its certificate is good: for a new token.
        """
        ticket = self._authorities.tickets.read(token, self._clock.now_us(), ended=ended)
        if isinstance(ticket, Refused):
            return ticket
        identity = await self._recognition.identify(certificate)
        return identity if isinstance(identity, Refused) else self._recognition.accompany(identity, ticket)

    def crl(self) -> str:
        """The lists of all agent roots, PEM: revoked serials, and superseded ones past their grace."""
        now_us = self._clock.now_us()
        roots = self._authorities.agents.roots
        key = (self._table.version, [root.fingerprint for root in roots], now_us // CRL_US)
        if self._crl[0] != key:
            ended = [one for one in self._table.superseded() if is_long_superseded(one, now_us, self._rules)]
            listed = [*self._table.revoked(), *ended]
            text = "".join(
                build_crl(root, [one for one in listed if one.root == root.fingerprint], now_us)
                for root in roots
            )
            self._crl = key, text
        return self._crl[1]

    @property
    def renew_after_s(self) -> int:
        """Seconds of a certificate's life after which an agent should send a CSR."""
        part, whole = DUE
        return int(self._settings.agent_certificate_s) * part // whole

    @property
    def agent_ca(self) -> str:
        """PEM bundle that verifies agents: what listeners trust."""
        return self._authorities.agents.bundle

    @property
    def server_ca(self) -> str:
        """PEM bundle that verifies the server: what agents trust."""
        return self._authorities.server_ca

    @property
    def server_pins(self) -> list[str]:
        """SHA-256 (hex) of each certificate of `server_ca`, the one to compare first.

        The first vouches for the server now; printed beside a registration token, it is what an agent's first
        contact is checked against.
        """
        return self._authorities.server_pins

    @property
    def server_certificate(self) -> Path:
        """PEM file with the server's key and certificate; replaced as a whole when it is renewed."""
        return self._authorities.server_file

    def on_trust_changed(self, callback: Callable[[], None]) -> Unlisten:
        """Call back on the loop when roots or the server's certificate have changed."""
        return self._upkeep.on_changed(callback)

    async def rotate(self, authority: str, by: Principal) -> str:
        """Add a root to `agents` or `servers`; return its fingerprint.

        It signs later, see `authority.py`. Raises UnknownAuthority, RotationUnderWay, OSError.
        """
        root = await self._authorities.rotate(authority)
        data = {"authority": authority, "fingerprint": root.fingerprint}
        await self._journal.record(changing.audit("authority.rotated", by.id, data))
        self._upkeep.changed()
        return root.fingerprint

    async def upkeep(self) -> None:
        """Do now what is done every few seconds: files, server certificate, roots, removal of old records."""
        await self._upkeep.work()

    async def _hand_out(self, signed: Signed, offer: KeyOffer) -> Issued:
        await self._following.committed([signed.record])
        self._journal.committed()
        return self._issued(signed, offer)

    def _issued(self, signed: Signed, offer: KeyOffer) -> Issued:
        return Issued(
            agent_id=signed.record.agent_id,
            serial=signed.record.serial,
            certificate=signed.pem,
            key=offer.private_pem,
            ca=self._authorities.server_ca,
            not_after=signed.record.not_after,
        )

    async def _present_key(self, identity: Identity) -> KeyOffer:
        pem = await self._database.read(lambda: store.read_pem(identity.serial))
        if pem is None:
            raise KeyError(identity.serial)
        return KeyOffer(check_key(x509.load_pem_x509_certificate(pem.encode()).public_key()))

    def _warn_of_foreign_roots(self) -> None:
        ours = {root.fingerprint for root in self._authorities.agents.roots}
        foreign = self._table.roots() - ours
        if foreign:
            log.warning(
                "there are live certificates of roots that trust.authority_dir does not hold; "
                "replicas must share that folder, and a restored database needs its own",
                roots=sorted(foreign),
            )
