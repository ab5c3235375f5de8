"""Throw-away certificate authorities for tests of agents: real TLS on loopback."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: expiry is answered with a reason instead of a broken connection."""


class TestAuthority:
    """A root that signs."""

    __test__ = False

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(identifier, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self._identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    def sign_agent(
        self, agent_id: str, key: ec.EllipticCurvePublicKey, since: datetime.datetime, life_s: float
    ) -> x509.Certificate:
        """Certify an agent's key."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent_id)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._sign(subject, key, since, since + datetime.timedelta(seconds=life_s), [usage])

    def write_agent(self, path: Path, since_s: float = -60.0, life_s: float = 86_400.0) -> None:
        """Write key and certificate of an agent into one file; `since_s` from now it begins."""
        key = ec.generate_private_key(ec.SECP256R1())
        since = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=since_s)
        certificate = self.sign_agent(path.stem, key.public_key(), since, life_s)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))

    def write_server(self, path: Path) -> None:
        """Write key and certificate for 127.0.0.1 into one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = self._sign(
            subject,
            key.public_key(),
            now - datetime.timedelta(hours=1),
            now + datetime.timedelta(days=1),
            [names, usage],
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        since: datetime.datetime,
        until: datetime.datetime,
        extensions: list[x509.ExtensionType],
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(self._identifier, critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def server_context(server_file: Path, agents: TestAuthority) -> ssl.SSLContext:
    """TLS 1.3, a client certificate if there is one, no session tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.load_cert_chain(server_file)
    context.load_verify_locations(cadata=agents.pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= NO_CHECK_TIME
    return context


def key_hash(key: ec.EllipticCurvePublicKey) -> str:
    """Name a key."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
