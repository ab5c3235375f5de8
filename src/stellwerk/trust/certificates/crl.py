"""Revocation lists (RFC 5280, section 5): for whoever verifies agents without asking us, a proxy say."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from stellwerk.trust.authority.profiles import BACKDATE, instant
from stellwerk.trust.authority.roots import Root
from stellwerk.trust.certificates.record import Record, State

FRESH = timedelta(hours=24)
"""Until when a list may be used. Verifiers refuse everybody under a stale one, so it outlives an outage."""


def build_crl(root: Root, records: Iterable[Record], now_us: int) -> str:
    """Sign the list of one root, PEM."""
    now = instant(now_us)
    issuer = root.certificate
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now - BACKDATE)
        .next_update(now + FRESH)
        .add_extension(x509.CRLNumber(now_us // 1_000), critical=False)
        .add_extension(authority, critical=False)
    )
    for record in sorted(records, key=lambda each: each.serial):
        builder = builder.add_revoked_certificate(_entry(record))
    return builder.sign(root.key, SHA256()).public_bytes(Encoding.PEM).decode()


def _entry(record: Record) -> x509.RevokedCertificate:
    revoked = record.state is State.REVOKED
    at = record.revoked_at if revoked else record.superseded_at
    # The ASN.1 has no shorter word for an agent that was removed.
    reason = x509.ReasonFlags.cessation_of_operation if revoked else x509.ReasonFlags.superseded
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(int(record.serial, 16))
        .revocation_date(datetime.fromtimestamp((at or 0) // 1_000_000, UTC))
        .add_extension(x509.CRLReason(reason), critical=False)
        .build()
    )
