"""Deployment agents for tests: keys, requests, and a replica of the trust service."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from stellwerk.database.database import Database
from stellwerk.database.unit import Unit
from stellwerk.journal.event import EventFilter
from stellwerk.journal.service import Journal
from stellwerk.settings import JournalSettings, TrustSettings
from stellwerk.trust.certificates.service import Identities, Issued
from stellwerk.trust.enrolment.tokens import Admission, Application, TokenScope
from stellwerk.trust.principal import LOCAL
from support.clock import FakeClock


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request_for(key: ec.EllipticCurvePrivateKey) -> str:
    """A CSR whose names are to be ignored."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "whoever")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


def der_of(issued: Issued) -> bytes:
    """What a TLS handshake would show."""
    return x509.load_pem_x509_certificate(issued.certificate.encode()).public_bytes(Encoding.DER)


def write_nothing(_: Admission) -> Unit[None]:
    """The agent's own tables do not matter here."""
    return
    yield


class Replica:
    """One process's trust service."""

    def __init__(
        self, database: Database, folder: Path, clock: FakeClock, settings: TrustSettings | None = None
    ) -> None:
        self.clock = clock
        self.journal = Journal(database, JournalSettings(), clock)
        self.settings = settings or TrustSettings(authority_dir=folder / "authority")
        self.identities = Identities(database, self.journal, self.settings, folder, clock)

    async def start(self) -> "Replica":
        await self.identities.start()
        return self

    async def stop(self) -> None:
        await self.identities.stop()
        await self.journal.stop()

    async def token(self, **scope: object) -> str:
        created = await self.identities.tokens.create(TokenScope(**scope), None, LOCAL)  # type: ignore[arg-type]  # a test's own words
        return created.token

    async def admit(self, key: ec.EllipticCurvePrivateKey | None = None) -> Issued:
        """Register a new agent."""
        csr = request_for(key or make_key())
        application = Application("agent-1", ("docker",))
        return (await self.identities.enrol(await self.token(), application, csr, write_nothing)).issued

    async def kinds(self, family: str) -> list[str]:
        """The kinds of the journalled events of a family, in order."""
        page = await self.journal.page(EventFilter(kinds=(f"{family}.*",)), limit=1000)
        return [event.kind for event in page.events]
