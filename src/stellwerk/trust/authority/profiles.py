"""What the certificates say: roots, agents, servers (RFC 5280).

A profile gives a builder; it signs nothing. The builder is first signed with a throw-away key and looked at
by `linting.py`, then by the root.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stellwerk.trust.authority.requests import PublicKey

BACKDATE = timedelta(seconds=60)
"""Tolerates clocks of agents that run a little behind."""
ROOT_LIFETIME = timedelta(days=3_650)


@dataclass(frozen=True, slots=True)
class Validity:
    """From when and until when, UTC."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """What every leaf needs beside its names: whose key, by which root, under which number, for how long."""

    key: PublicKey
    issuer: x509.Certificate
    serial: int
    valid: Validity


def validity(now_us: int, lifetime: timedelta) -> Validity:
    """Return the validity of a certificate made now; certificates know whole seconds only."""
    now = instant(now_us)
    return Validity(now - BACKDATE, now + lifetime)


def instant(now_us: int) -> datetime:
    """Return the whole second of an instant in microseconds."""
    return datetime.fromtimestamp(now_us // 1_000_000, UTC)


def root(name: str, key: EllipticCurvePublicKey, now_us: int) -> x509.CertificateBuilder:
    """Describe a self-signed root that may sign leaves and nothing else."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _described(subject, subject, key, validity(now_us, ROOT_LIFETIME), x509.random_serial_number())
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def agent(agent_id: str, trust_domain: str, grant: Grant) -> x509.CertificateBuilder:
    """Describe the client certificate of an agent; its SPIFFE id is the name that counts."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent_id)])
    identity = x509.UniformResourceIdentifier(f"spiffe://{trust_domain}/agent/{agent_id}")
    return _leaf(subject, [identity], ExtendedKeyUsageOID.CLIENT_AUTH, grant)


def server(names: Sequence[str], grant: Grant) -> x509.CertificateBuilder:
    """Describe the certificate of a server that is reached under these host names and addresses."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    general = [_general_name(name) for name in names]
    return _leaf(subject, general, ExtendedKeyUsageOID.SERVER_AUTH, grant)


def _leaf(
    subject: x509.Name, names: Sequence[x509.GeneralName], purpose: x509.ObjectIdentifier, grant: Grant
) -> x509.CertificateBuilder:
    # Both key identifiers are needed by clients that verify strictly (Python 3.13's default).
    issuer_key = grant.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key)
    return (
        _described(subject, grant.issuer.subject, grant.key, grant.valid, grant.serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(grant.key), critical=False)
        .add_extension(authority, critical=False)
    )


def _described(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, valid: Validity, serial: int
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=key,
        serial_number=serial,
        not_valid_before=valid.begins,
        not_valid_after=valid.ends,
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
