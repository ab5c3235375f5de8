"""Issuing an agent's certificate in four steps: prepare and lint, record the intent, sign, record the result.

A process that dies in between leaves an *intended* serial that nobody holds; what it would have answered is
asked for again and gets a serial of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.journal.store import append
from stellwerk.settings import TrustSettings
from stellwerk.trust.authority import profiles
from stellwerk.trust.authority.authority import Authority, Prepared
from stellwerk.trust.authority.requests import PublicKey, key_hash, read_request
from stellwerk.trust.authority.roots import Root
from stellwerk.trust.certificates import store
from stellwerk.trust.certificates.changing import AGENT_PRINCIPAL, EVERY, audit
from stellwerk.trust.certificates.facts import microseconds, thumbprint_of, write_serial
from stellwerk.trust.certificates.record import Record, State
from stellwerk.trust.certificates.renewing import Mint, NotNow, Repeat, plan_renewal


class ServerKeysDenied(Exception):
    """Refuse to make a key for an agent that sent no CSR: the settings say so."""


class RevokedMeanwhile(Exception):
    """The agent was revoked while its certificate was being made; nothing is handed out."""

    def __init__(self, agent_id: str) -> None:
        super().__init__(f"agent {agent_id} was revoked")
        self.agent_id = agent_id


@dataclass(frozen=True, slots=True)
class KeyOffer:
    """The public key that is to be certified and, where it was made here, the private one."""

    public: PublicKey
    private_pem: str | None = field(default=None, repr=False)

    @property
    def hash(self) -> str:
        """Names the key in records."""
        return key_hash(self.public)


@dataclass(frozen=True, slots=True)
class Intent:
    """A certificate about to be signed, and the record that says so."""

    prepared: Prepared
    record: Record


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate that was signed and recorded."""

    record: Record
    pem: str


def offer_key(csr: str | None, *, make: bool) -> KeyOffer:
    """Take the key of a CSR, or make one if that is allowed. Raises RequestRefused, ServerKeysDenied."""
    if csr is not None:
        return KeyOffer(read_request(csr))
    if not make:
        raise ServerKeysDenied("Send a CSR: this server makes no keys for agents")
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return KeyOffer(key.public_key(), pem)


def public_key_hash(csr: str | None) -> str | None:
    """Return the hash of a CSR's key; None without a CSR. Raises RequestRefused."""
    return None if csr is None else key_hash(read_request(csr))


class Issuing:
    """Issues certificates of agents."""

    def __init__(
        self, database: Database, authority: Callable[[], Authority], settings: TrustSettings
    ) -> None:
        self._database = database
        self._authority = authority
        self._settings = settings

    def prepare(self, key: PublicKey, agent_id: str, now_us: int) -> Intent:
        """Describe and lint the certificate, under a serial of its own. Raises LintFailed."""
        serial = x509.random_serial_number()
        valid = profiles.validity(now_us, timedelta(seconds=self._settings.agent_certificate_s))

        def describe(root: Root) -> x509.CertificateBuilder:
            grant = profiles.Grant(key, root.certificate, serial, valid)
            return profiles.agent(agent_id, self._settings.trust_domain, grant)

        prepared = self._authority().prepare(describe, now_us)
        record = Record(
            serial=write_serial(serial),
            root=prepared.root.fingerprint,
            agent_id=agent_id,
            key_hash=key_hash(key),
            thumbprint=None,
            state=State.INTENDED,
            not_before=microseconds(valid.begins),
            not_after=microseconds(valid.ends),
            intended_at=now_us,
            changed_at=now_us,
        )
        return Intent(prepared, record)

    async def finish(self, intent: Intent, now_us: int) -> Signed:
        """Sign what was intended and record it. Raises RevokedMeanwhile, DatabaseUnavailable."""
        record = intent.record
        certificate = intent.prepared.sign()
        pem = certificate.public_bytes(Encoding.PEM).decode()
        thumbprint = thumbprint_of(certificate)
        data = {"agentId": record.agent_id, "serial": record.serial, "notAfter": record.not_after}

        def unit() -> Unit[Record]:
            issued = yield from store.record_issued(record.serial, thumbprint, pem, now_us)
            if issued is None:
                raise RevokedMeanwhile(record.agent_id)
            event = audit("certificate.issued", AGENT_PRINCIPAL + record.agent_id, data)
            yield from append(event, now_us)
            return issued

        return Signed(await self._database.write(unit), pem)


def intend(record: Record) -> Unit[None]:
    """Record the intent of an agent's certificate. Raises RevokedMeanwhile for a revoked agent."""
    for known in (yield from store.lock_agent(record.agent_id, EVERY)):
        if known.state is State.REVOKED:
            raise RevokedMeanwhile(record.agent_id)
    yield from store.insert_intent(record)


def intend_renewal(record: Record, presented: str) -> Unit[Repeat | Mint | NotNow]:
    """Decide about a renewal under lock, and record the intent if a certificate is to be made."""
    records = yield from store.lock_agent(record.agent_id, EVERY)
    plan = plan_renewal(records, presented, record.key_hash, record.intended_at)
    if isinstance(plan, Mint):
        yield from store.insert_intent(record)
    return plan


def intend_again(record: Record) -> Unit[Repeat | Mint]:
    """Record the intent for a repeated registration, unless its certificate still waits for its first use."""
    for known in (yield from store.lock_agent(record.agent_id, record.intended_at)):
        if known.state is State.ISSUED and known.key_hash == record.key_hash:
            return Repeat(known.serial)
    yield from intend(record)
    return Mint()
